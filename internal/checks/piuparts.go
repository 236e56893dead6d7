package checks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"nsbuild/internal/archive/pool"
	"nsbuild/internal/archive/serve"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/deps"
	"nsbuild/internal/output"
	"nsbuild/internal/sandbox"
)

// Where piuparts finds and has what, in its jail. lsof(8) tells it what runs in its trees, by the
// numbers of file systems and inodes: those of a tmpfs of their own are nobody else's, while an
// overlay has the numbers of its layers, too, and piuparts would take itself for what still runs.
const (
	piupartsDir  = "/piuparts"
	piupartsBase = piupartsDir + "/base"
	piupartsRoot = piupartsDir + "/root"
)

// prepareRoot makes the tree that piuparts starts from: the base, with the sources and preferences
// of apt that are given. Device nodes cannot be made in a jail, nor be copied: a script that
// piuparts runs shows the jail's /dev there, by the roots of PID 1, which is piuparts, and of its
// own, for which a base without mount(8) will do; until then a plain file keeps piuparts from
// making /dev/null.
const prepareRoot = `set -e
mkdir root tmp scripts
cp -ax base/. root
rm -rf root/etc/apt/sources.list.d/*
printf '%s' "$1" >root/etc/apt/sources.list
printf '%s' "$2" >root/etc/apt/preferences.d/nsbuild
printf '%s\n' 'Acquire::http::Proxy::127.0.0.1 "DIRECT";' 'Acquire::http::Timeout "3600";' 'Acquire::Retries "0";' >root/etc/apt/apt.conf.d/zz-nsbuild
ln -sf pts/ptmx root/dev/ptmx
: >root/dev/null
cat >scripts/post_chroot_unpack_nsbuild <<'EOF'
#!/bin/sh
chroot /proc/1/root /bin/sh -c 'exec mount -c --rbind /dev /proc/$PPID/root/dev'
exit
EOF
chmod 755 scripts/post_chroot_unpack_nsbuild
test -e /etc/resolv.conf || { rm -f /etc/resolv.conf; : >/etc/resolv.conf; }
`

// Piuparts runs piuparts over what was built. It is PID 1 of a PID namespace of its jail's user
// namespace, so that it may mount that one's /proc, and has from the network no more than the
// suite's packages, which are fetched and verified here when it asks for them.
func Piuparts(options []string) Kind {
	return Kind{Name: "piuparts",
		run: func(ctx context.Context, b *Bench) (outcome, detail string, err error) {
			return b.piuparts(ctx, options)
		}}
}

func (b *Bench) piuparts(ctx context.Context, options []string) (outcome, detail string,
	err error) {
	debs := b.builtDebs()
	if len(debs) == 0 {
		return OutcomePass, "no package was built", nil
	}
	c, err := b.with(ctx, "piuparts", b.Extra, b.NoLayers)
	if err != nil {
		return "", "", fmt.Errorf("installing piuparts: %w", err)
	}
	defer func() { err = c.end(ctx, b.making, outcome, detail, err) }()
	var own []*pool.Local
	if b.Extra.Local != nil {
		own = append(own, b.Extra.Local)
	}
	server, err := serve.New(ctx, b.Deps.Client, b.Arch, own,
		slices.Concat(b.Extra.Releases, b.Releases))
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	space, err := b.Scratch()
	if err != nil {
		return "", "", err
	}
	stop, err := c.openForPiuparts(ctx, server, space)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := c.show(ctx, debs...); err != nil {
		return "", "", err
	}
	argv := b.piupartsCommand(debs, options)
	b.Log.Printf("Command: %s", strings.Join(argv, " "))
	var found piupartsFindings
	out := b.Log.Stream()
	both := io.MultiWriter(out, &found)
	status, err := c.Jail.RunTo(ctx,
		sandbox.Command{Argv: argv, Dir: checkDir, Env: buildroot.Env(),
			PID1: true}, both, both)
	out.Flush()
	if err == nil {
		err = server.Failed() // then it is not the packages that failed
	}
	if err == nil && !status.Success() {
		err = c.piupartsFull(ctx, space)
	}
	if err != nil {
		return "", "", err
	}
	return found.outcome(status)
}

// openForPiuparts opens a jail with the tree that piuparts starts from, in which a server answers
// until it is stopped.
func (t *testbed) openForPiuparts(ctx context.Context, server *serve.Server, space int64) (
	stop func() error, err error) {
	err = t.open(ctx, false,
		sandbox.Mount{Type: "tmpfs", Target: piupartsDir, Mkdir: true,
			Data: fmt.Sprintf("mode=755,size=%d", space)},
		sandbox.Mount{Type: "bind", Source: t.Base.Tree(), Target: piupartsBase, ReadOnly: true,
			Mkdir: true})
	if err != nil {
		return nil, err
	}
	listener, err := t.Jail.Listen(ctx)
	if err != nil {
		return nil, err
	}
	stop = answer(ctx, server, listener)
	prepare := []string{"/bin/sh", "-c", prepareRoot, "sh",
		server.SourcesList("http://" + listener.Addr().String()), t.Extra.Pins}
	var said output.Tail
	status, err := t.Jail.RunTo(ctx,
		sandbox.Command{Argv: prepare, Dir: piupartsDir, Env: buildroot.Env()}, &said, &said)
	if err == nil && !status.Success() {
		err = cmp.Or(t.piupartsFull(ctx, space),
			said.Explain(fmt.Errorf("copying the base: %s", status)))
	}
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// piupartsCommand is the command line of piuparts (piuparts(1)).
func (b *Bench) piupartsCommand(debs, options []string) []string {
	argv := []string{
		"piuparts", "--distribution", b.Suite, "--existing-chroot", piupartsRoot,
		"--keep-sources-list", "--tmpdir", path.Join(piupartsDir, "tmp"),
		// what it leaves goes with the jail
		"--scriptsdir", path.Join(piupartsDir, "scripts"), "--no-eatmydata", "-k",
	}
	// else each begins with a tree of its own
	if !slices.Contains(options, "--single-packages") {
		argv = append(argv, "--hard-link")
	}
	argv = append(argv, options...)
	for _, deb := range debs {
		argv = append(argv, filepath.Base(deb))
	}
	return argv
}

// piupartsFull is the error for a tmpfs without room.
func (t *testbed) piupartsFull(ctx context.Context, space int64) error {
	out := output.Capture{Limit: output.Few}
	status, err := t.Jail.RunTo(ctx,
		sandbox.Command{Argv: []string{"stat", "-f", "-c", "%a", piupartsDir},
			Env: buildroot.Env()}, &out, io.Discard)
	if text, over := out.String(); err == nil && over == nil && status.Success() &&
		strings.TrimSpace(text) == "0" {
		err = fmt.Errorf("the tmpfs of %d MiB that piuparts works on is full", space>>20)
	}
	return err
}

// answer runs a server beside, until it is stopped.
func answer(ctx context.Context, server *serve.Server, l net.Listener) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	var err error
	ended.Go(func() { err = server.Run(ctx, l) })
	return func() error {
		cancel()
		ended.Wait()
		return err
	}
}

// piupartsLine is what piuparts itself says, behind the time since its start. What a command
// printed, and what a finding is about, follows in indented lines.
var piupartsLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\d+m\d+\.\d+s ([A-Z]+): (?:(FAIL|WARN|Warning|SKIP): )?(.*)`)
})

// piupartsFindings reads what piuparts says as it says it.
type piupartsFindings struct {
	failures, warnings []*finding
	errors             []*finding // which explain a failure that has no line of its own
	last               *finding   // whose lines follow
	skipped            []*finding
	// the base is as it should be, and what goes wrong from now on is a finding
	testing bool
	// how many of the warnings are about the base: they came before anything was installed
	early      int
	installing bool
	said       string // the last line that is not of its log
	line       []byte
}

type finding struct {
	text string
	more []buildlog.Line
}

// Of piuparts' output no more is kept than explains a failure: bytes of a line, lines of a finding,
// findings of a kind.
const (
	maxFindingLine  = 1 << 10
	maxFindingLines = 200
	maxFindings     = 100
)

func (f *piupartsFindings) Write(p []byte) (int, error) {
	for part := range bytes.Lines(p) {
		f.line = append(f.line,
			part[:min(len(part), maxFindingLine-min(len(f.line), maxFindingLine))]...)
		if part[len(part)-1] == '\n' {
			f.take(strings.TrimRight(string(f.line), "\n"))
			f.line = f.line[:0]
		}
	}
	return len(p), nil
}

func (f *piupartsFindings) take(line string) {
	m := piupartsLine().FindStringSubmatch(line)
	if m == nil {
		if strings.Trim(line, "-") != "" {
			f.said = line
		}
		if f.last != nil && len(f.last.more) < maxFindingLines {
			f.last.more = append(f.last.more, buildlog.Line{Text: strings.TrimPrefix(line, "  ")})
		}
		return
	}
	var kind *[]*finding
	switch {
	case m[2] == "FAIL":
		kind = &f.failures
	case m[2] == "WARN", m[2] == "Warning":
		kind = &f.warnings
	case m[2] == "SKIP":
		kind = &f.skipped
	case m[1] == "ERROR" && m[3] != "piuparts run ends.":
		kind = &f.errors
	case m[3] == "Running scripts pre_test":
		f.testing = true
	case m[3] == "Running scripts pre_install" && !f.installing:
		f.installing, f.early = true, len(f.warnings)
	}
	if f.last = nil; kind != nil && len(*kind) < maxFindings {
		f.last = &finding{text: buildlog.VisibleString(strings.TrimRight(m[3], ":"))}
		*kind = append(*kind, f.last)
	}
}

// String is the finding with the first file that it is about, or with what apt said of a command of
// its.
func (f *finding) String() string {
	if said := deps.Explanation(f.more); strings.HasPrefix(f.text, "Command failed") &&
		len(said) > 0 {
		return strings.ReplaceAll(strings.Join(said, "; "), ":; ", ": ")
	}
	if len(f.more) > 0 && strings.HasPrefix(f.more[0].Text, "/") {
		return f.text + ": " + buildlog.VisibleString(
			strings.Join(strings.Fields(f.more[0].Text), " "))
	}
	return f.text
}

// ofPackages are the warnings without what holds of the base, too.
func (f *piupartsFindings) ofPackages() (warnings []*finding) {
	known := map[string]bool{}
	// later its package is named, too
	file := func(l buildlog.Line) string { name, _, _ := strings.Cut(l.Text, " ("); return name }
	for i, w := range f.warnings {
		own := slices.DeleteFunc(slices.Clone(w.more), func(l buildlog.Line) bool {
			return known[file(l)]
		})
		if i < f.early {
			for _, l := range own {
				known[file(l)] = true
			}
			continue
		}
		if len(own) > 0 || len(w.more) == 0 {
			warnings = append(warnings, &finding{w.text, own})
		}
	}
	return warnings
}

func (f *piupartsFindings) outcome(status sandbox.Status) (outcome, detail string, err error) {
	warnings := f.ofPackages()
	switch {
	case status.Signal != 0 || status.Code > 1: // 2: it does not understand its command line
		return "", "", fmt.Errorf("piuparts: %s: %s", status, buildlog.VisibleString(f.said))
	case status.Success() && len(f.skipped) > 0:
		return OutcomeSkipped, f.skipped[0].String(), nil
	case status.Success() && len(warnings) > 0:
		return OutcomeWarn, warnings[0].String(), nil
	case status.Success():
		return OutcomePass, "", nil
	}
	detail = buildlog.VisibleString(f.said)
	for _, kind := range [][]*finding{f.failures, f.errors} {
		if len(kind) > 0 {
			detail = kind[0].String()
			break
		}
	}
	// without any, it broke down itself
	if len(f.failures) == 0 && (!f.testing || len(f.errors) == 0) {
		return "", "", fmt.Errorf("piuparts: %s: %s", status, detail)
	}
	return OutcomeFail, detail, nil
}
