package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"nsbuild/internal/bootstrap/unpack"
	"nsbuild/internal/deb822"
	"nsbuild/internal/jails"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox"
)

// Where the jail sees what the applet needs besides the tree: on a tmpfs over a directory that
// every base has (base-files), so that nothing of it stays. It is not /run, where maintainer
// scripts make directories that belong to the base.
const (
	jailOwn  = "/mnt"
	jailTree = jailOwn + "/tree"
	jailDebs = jailOwn + "/debs"
)

// job is one native bootstrap under way: which packages, in which order, into which tree.
type job struct {
	o     Options
	order []string // names, as debootstrap unpacks them
	plan  choice
	info  map[string]control

	timings []Timing
}

func (j *job) phase(name string, start time.Time) {
	j.timings = append(j.timings, Timing{name, time.Since(start)})
}

// control is what the control paragraphs of the unpacked packages say.
type control struct {
	text    string
	preinst bool
}

func (c control) field(name string) string {
	s := deb822.NewText([]byte(c.text), deb822.Syntax{Limit: len(c.text), Dpkg: true})
	s.Next() // what cannot be read was refused when it was unpacked
	return string(s.Get(name))
}

// errInexact says that native unpacking would not give what dpkg gives.
type errInexact struct{ reason string }

func (e *errInexact) Error() string { return e.reason }

// openJail opens a jail on the tree, with the deb cache in sight.
func (j *job) openJail(ctx context.Context) (jails.Jail, error) {
	spec := sandbox.Spec{
		Root: sandbox.Root{Dir: j.o.Tree},
		Mounts: []sandbox.Mount{
			{Type: "tmpfs", Target: jailOwn, NoSuid: true, NoDev: true, Data: "mode=755",
				Mkdir: true},
			{Type: "bind", Source: j.o.Tree, Target: jailTree, Mkdir: true},
			j.shown("debs"), j.shown("copies"),
			// dpkg notes there each step of each package, and waits until each note is on the disk.
			// In the end all of them are in its status file.
			{Type: "tmpfs", Target: "/var/lib/dpkg/updates", NoSuid: true, NoDev: true,
				NoExec: true, Data: "mode=755", Mkdir: true},
		},
	}
	if slices.Contains(j.order, "makedev") {
		// Its script makes device nodes, which a jail may not, unless it sees the control device of
		// devfs (stretch, xenial and older).
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Type: "bind", Source: "/dev/null",
			Target: "/dev/.devfsd", Mkdir: true})
	}
	return j.o.Holder.NewJail(ctx, spec)
}

// shown is the mount of a part of the cache.
func (j *job) shown(part string) sandbox.Mount {
	return sandbox.Mount{
		Type: "bind", Source: filepath.Join(j.o.CacheDir, part), Target: path.Join(jailDebs, part),
		Mkdir: true, ReadOnly: true, NoSuid: true, NoDev: true, NoExec: true,
	}
}

// first is the package that must be unpacked before all others: the one that brings the links of
// merged /usr, where a package does.
func (j *job) first() string {
	if j.o.Suite.MergedUsr && !j.o.Suite.IncludeRequired {
		return "base-files"
	}
	return ""
}

// ready is one package that the archive has put into the deb cache.
type ready struct {
	name, path string // path below the cache directory
}

// pipes are the two ends that the applet gets, and the two that remain here.
type pipes struct {
	specR, specW, resR, resW *os.File
}

func newPipes() (p pipes, err error) {
	if p.specR, p.specW, err = os.Pipe(); err != nil {
		return p, err
	}
	if p.resR, p.resW, err = os.Pipe(); err != nil {
		return p, errors.Join(err, p.specR.Close(), p.specW.Close())
	}
	return p, nil
}

// applet starts the applet in one of its modes.
func (j *job) applet(jail jails.Jail, mode string) (*running, pipes, error) {
	ends, err := newPipes()
	if err != nil {
		return nil, ends, err
	}
	r, err := j.start(jail, sandbox.Command{Applet: unpack.Name, Argv: []string{mode},
		Files: []*os.File{ends.specR, ends.resW}})
	if err = errors.Join(err, ends.specR.Close(), ends.resW.Close()); err != nil {
		return nil, ends, errors.Join(fmt.Errorf("%s in the jail: %w", mode, err),
			ends.specW.Close(), ends.resR.Close())
	}
	return r, ends, nil
}

// unpack runs `unpack extract` over the packages as they come.
func (j *job) unpack(ctx context.Context, jail jails.Jail, plan unpack.Plan,
	debs <-chan ready) error {
	r, ends, err := j.applet(jail, "extract")
	if err != nil {
		for range debs { // so that whoever fills the channel is never stuck
		}
		return err
	}
	fed := make(chan error, 1)
	go func() { fed <- j.feed(ctx, ends.specW, plan, debs) }()
	read := make(chan error, 1)
	go func() { read <- j.collect(ends.resR) }()
	err = r.finish(ctx, "unpacking") // it kills the applet when ctx ends, which ends the results
	wrong, feedErr := <-read, <-fed
	closeErr := ends.resR.Close()
	switch {
	case ctx.Err() != nil: // also when the applet was quicker to end
		return context.Cause(ctx)
	case wrong != nil:
		return wrong
	case err != nil:
		return err
	case feedErr != nil:
		return fmt.Errorf("unpacking: %w", feedErr)
	}
	return closeErr
}

// feed sends the plan and then the packages. It always drains debs.
func (j *job) feed(ctx context.Context, w *os.File, plan unpack.Plan, debs <-chan ready) error {
	enc := rawjson.NewEncoder(w)
	err := enc.Encode(plan)
	for d := range debs {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			continue
		}
		rank := slices.Index(j.order, d.name)
		err = enc.Encode(
			unpack.Item{Path: d.path, Name: d.name, Rank: rank, First: d.name == j.first()})
	}
	return errors.Join(err, w.Close())
}

// collect reads the results to the end and returns the first thing that is wrong.
func (j *job) collect(r io.Reader) error {
	dec := rawjson.NewDecoder(r)
	var first error
	last := false
	for {
		var res unpack.Result
		err := dec.Decode(&res)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("unpacking: reading the results: %w", err)
		}
		last = last || res.Last
		switch {
		case first != nil:
		case res.Error != "":
			first = errors.New(res.Error)
		case res.Inexact != "":
			first = &errInexact{res.Inexact}
		case !res.Last:
			c := control{text: res.Control, preinst: res.Preinst}
			j.info[c.field("Package")] = c
			if j.o.Progress.Unpacked != nil {
				j.o.Progress.Unpacked(c.field("Package"), res.Bytes)
			}
		}
	}
	if first == nil && !last {
		return errors.New("unpacking: the applet ended early")
	}
	return first
}

// apply runs one of the applet's other modes with spec as its input.
func (j *job) apply(ctx context.Context, jail jails.Jail, mode string, spec any) error {
	r, ends, err := j.applet(jail, mode)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		err := rawjson.NewEncoder(ends.specW).Encode(spec)
		sent <- errors.Join(err, ends.specW.Close())
	}()
	var res unpack.Result
	decErr := rawjson.NewDecoder(ends.resR).Decode(&res)
	err = r.finish(ctx, mode)
	sentErr := <-sent
	closeErr := ends.resR.Close()
	switch {
	case err != nil:
		return err
	case sentErr != nil:
		return fmt.Errorf("%s in the jail: %w", mode, sentErr)
	case res.Inexact != "":
		return &errInexact{res.Inexact}
	case decErr != nil && !errors.Is(decErr, io.EOF):
		return fmt.Errorf("%s in the jail: reading its result: %w", mode, decErr)
	}
	return closeErr
}

// native unpacks everything in Go and lets dpkg configure it.
func (j *job) native(ctx context.Context, jail jails.Jail, debs <-chan ready) error {
	start := time.Now()
	plan := unpack.Plan{
		Tree: jailTree, Debs: jailDebs, Workers: j.o.Workers, Database: true, Epoch: j.o.Epoch,
		Files: map[string]string{}, Links: j.links(),
	}
	if j.first() != "" {
		plan.First = 1
	}
	j.flagUnmerged(plan.Files)
	if err := j.unpack(ctx, jail, plan, debs); err != nil {
		return err
	}
	j.phase("unpack", start)
	start = time.Now()
	if err := j.apply(ctx, jail, "finish", j.prepared()); err != nil {
		return err
	}
	if err := j.apply(ctx, jail, "preinst",
		unpack.Preinsts{Env: j.scriptEnv(), Scripts: j.preinsts()}); err != nil {
		return err
	}
	j.phase("preinst", start)
	start = time.Now()
	if err := j.command(ctx, jail, "dpkg", "--force-confold", "--force-unsafe-io", "--configure",
		"-a"); err != nil {
		return err
	}
	j.phase("configure", start)
	return nil
}

// links are those of merged /usr where no package brings them.
func (j *job) links() map[string]string {
	if !j.merged() || j.first() != "" {
		return nil
	}
	m := map[string]string{"/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib"}
	switch j.o.Arch {
	case "amd64", "ppc64", "ppc64el", "sparc64", "loong64", "mips64el":
		m["/lib64"] = "usr/lib64"
	}
	return m
}

// merged reports whether the tree is to have merged directories. The buildd variant of some suites
// has not, though their other variants have.
func (j *job) merged() bool {
	return j.o.Suite.MergedUsr || j.o.Variant != VariantBuildd && !j.o.Suite.SplitUsr
}

// flagUnmerged leaves the file that tells usr-is-merged's and usrmerge's scripts to accept a split
// /usr (suites whose packages know it).
func (j *job) flagUnmerged(files map[string]string) {
	if j.o.Suite.UsrIsMerged && !j.merged() {
		files["/etc/unsupported-skip-usrmerge-conversion"] = "this system will not be " +
			"supported in the future\n"
	}
}

// preinsts orders the scripts: what a package pre-depends on comes first, otherwise debootstrap's
// order.
func (j *job) preinsts() []unpack.Preinst {
	var out []unpack.Preinst
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		c, ok := j.info[name]
		if !ok || seen[name] {
			return
		}
		seen[name] = true
		for _, dep := range firstNames(c.field("Pre-Depends")) {
			visit(dep)
		}
		if !c.preinst {
			return
		}
		p := unpack.Preinst{Package: name, Arch: c.field("Architecture"), Info: name,
			Control: c.text}
		if c.field("Multi-Arch") == "same" {
			p.Info += ":" + p.Arch
		}
		out = append(out, p)
	}
	for _, name := range j.order {
		visit(name)
	}
	return out
}

// scriptEnv is the environment of everything that runs in the jail.
func (j *job) scriptEnv() []string {
	env := map[string]string{
		"PATH":                        sandbox.DefaultPath,
		"HOME":                        "/nonexistent",
		"LC_ALL":                      "C",
		"DEBIAN_FRONTEND":             "noninteractive",
		"DEBCONF_NONINTERACTIVE_SEEN": "true",
		"DEBCONF_NOWARNINGS":          "yes",
		"SOURCE_DATE_EPOCH":           fmt.Sprint(j.o.Epoch.Unix()),
		"DPKG_RUNNING_VERSION":        j.info["dpkg"].field("Version"),
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		if env[k] != "" {
			out = append(out, k+"="+env[k])
		}
	}
	return out
}
