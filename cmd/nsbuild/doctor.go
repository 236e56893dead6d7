package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/budget"
	"nsbuild/internal/config"
	"nsbuild/internal/fault"
	"nsbuild/internal/machine"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox"
)

// verdict is how serious a finding is.
type verdict string

const (
	fine    verdict = "ok"
	note    verdict = "note" // builds work without it, slower or with less
	missing verdict = "MISSING"
)

// finding is one line of the doctor's: what was looked at, what was found, and the command that
// mends it.
type finding struct {
	verdict
	what, found, mend string
}

func newDoctor(a *app) *cobra.Command {
	var asJSON, profile bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine lacks, and the command that mends it",
		Long: `doctor tries what a build needs: user ids, a sandbox, overlays, memory, disk, the
mirror and its keys. It says what is missing, and the command that mends it. With --offline it does
not ask the mirror. It changes nothing but nsbuild's own directories.

Ubuntu 23.10 and later forbid users to make user namespaces. With --apparmor-profile doctor only
writes the AppArmor profile that permits it to this program.
`,
		Example: "  nsbuild doctor",
		Args:    rangeArgs(0, 0, "it takes no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if profile {
				return a.printProfile()
			}
			return a.doctor(c.Context(), asJSON)
		},
	}
	c.Flags().BoolVar(&profile, "apparmor-profile", false,
		"write the AppArmor profile of this program, and do nothing else")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

// findingReport is a finding as `doctor --json` writes it.
type findingReport struct {
	Verdict string `json:"verdict"` // ok, note or missing
	What    string `json:"what"`
	Found   string `json:"found"`
	Mend    string `json:"mend,omitempty"`
}

// doctorReport is what `doctor --json` writes.
type doctorReport struct {
	Findings []findingReport `json:"findings"`
	Escaped  []string        `json:"escaped,omitempty"` // see docs/result.md
}

func (a *app) doctor(ctx context.Context, asJSON bool) error {
	dirs, err := config.FindDirs(a.stateDir, a.cacheDir)
	if err != nil {
		return err
	}
	state, cache := dirs.State, dirs.Cache
	found := append(examinePlace(sandbox.FindPlace()), examineSandbox(ctx, state)...)
	found = append(found, examineMachine(budget.Read())...)
	found = append(found, examineDisk("bases", state), examineDisk("cache", cache))
	found = append(found, a.examineMirror(ctx, cache)...)
	found = append(found, examineForeign(machine.Find))
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if !asJSON {
		return printFindings(a.stdout, found)
	}
	var report doctorReport
	for _, f := range found {
		report.Findings = append(report.Findings, findingReport{strings.ToLower(string(f.verdict)),
			f.what, f.found, f.mend})
	}
	report, report.Escaped = rawjson.Legible(report)
	return errors.Join(a.printJSON(report), judge(found))
}

// printFindings prints them and fails when something essential is missing.
func printFindings(w io.Writer, found []finding) error {
	for _, f := range found {
		fmt.Fprintf(w, "%-8s %-12s %s\n", f.verdict, f.what, f.found)
		if f.mend != "" {
			fmt.Fprintf(w, "%-8s %-12s %s\n", "", "", "→ "+f.mend)
		}
	}
	return judge(found)
}

// judge is the error of a machine that lacks something essential.
func judge(found []finding) error {
	lacks := 0
	for _, f := range found {
		if f.verdict == missing {
			lacks++
		}
	}
	if lacks > 0 {
		return fault.New(fault.Internal, "follow the arrows, then run nsbuild doctor again",
			"this machine cannot build yet: %d missing", lacks)
	}
	return nil
}

const (
	leastMemory = 2 << 30 // for a small build with its layer on a tmpfs
	leastDisk   = 1 << 30 // a base and its downloads
	goodDisk    = 5 << 30
)

// examineMachine says what of processors and memory builds may use here.
func examineMachine(b budget.Budget, err error) []finding {
	if err != nil {
		return []finding{{note, "memory", err.Error(), ""}}
	}
	by := func(file string) string {
		if file == "" {
			return ""
		}
		return ", bounded by " + file
	}
	processors := fault.Count(b.Processors, "processor", "processors") + by(b.ProcessorsBy)
	memory := finding{fine, "memory", gib(uint64(b.Memory)) + " available" + by(b.MemoryBy), ""}
	if b.Memory < leastMemory {
		memory.verdict, memory.mend = note, "nsbuild build --scratch disk SOURCE"
		memory.found += ": large builds may not fit"
	}
	return []finding{{fine, "processors", processors, ""}, memory}
}

func gib(bytes uint64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

// examineDisk looks at the file system of a directory that may not exist yet, and whether it can be
// made and written.
func examineDisk(what, dir string) finding {
	at := dir
	var st os.FileInfo
	for {
		var err error
		if st, err = os.Stat(at); err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || at == "/" {
			return finding{missing, what, err.Error(), ""}
		}
		at = filepath.Dir(at)
	}
	if !st.IsDir() {
		return finding{missing, what, at + " is not a directory", ""}
	}
	const writeAndSearch = 3 // W_OK|X_OK of access(2)
	if err := syscall.Access(at, writeAndSearch); err != nil {
		return finding{missing, what, at + ": " + err.Error(),
			"choose other directories with --state-dir and --cache-dir"}
	}
	var v syscall.Statfs_t
	if err := syscall.Statfs(at, &v); err != nil {
		return finding{missing, what, at + ": " + err.Error(), ""}
	}
	free := v.Bavail * uint64(v.Bsize)
	f := finding{fine, what, fmt.Sprintf("%s free for %s", gib(free), dir), ""}
	switch {
	case free < leastDisk:
		f.verdict, f.mend = missing,
			"free some space, or choose other directories with --state-dir and --cache-dir"
	case free < goodDisk:
		f.verdict, f.mend = note, "a base takes about 0.5 GiB, downloads and layers more"
	}
	return f
}

// examineApt names what of the host's apt is not understood, and what is taken instead.
func examineApt(warnings []string, repos []aptconf.Repo) []finding {
	var out []finding
	for _, w := range warnings {
		out = append(out, finding{note, "apt", w, ""})
	}
	for _, r := range repos {
		if r.Note() != "" {
			out = append(out, finding{note, "apt", fmt.Sprintf("%s: %s", r, r.Note()), ""})
		}
	}
	return out
}

// examineMirror asks for the Release files of the default suite and verifies them.
func (a *app) examineMirror(ctx context.Context, cache string) []finding {
	name := pkgbuild.DefaultSuite(a.suites())
	suite, err := a.suites().Lookup(name)
	if err != nil {
		return []finding{{missing, "mirror", err.Error(), fault.HintOf(err)}}
	}
	host, err := aptconf.ReadHost("/", a.suites())
	if err != nil {
		return []finding{{missing, "mirror", err.Error(), fault.HintOf(err)}}
	}
	repos, err := host.Repos(suite, "", "")
	out := examineApt(host.Warnings, repos)
	if err != nil {
		return append(out, finding{missing, "mirror", err.Error(), fault.HintOf(err)})
	}
	if a.offline {
		for _, r := range repos {
			out = append(out, finding{note, "mirror", r.String() + ", not asked", ""})
		}
		return out
	}
	client, err := archive.NewClient(archive.Options{CacheDir: cache, Host: host, RefreshAfter: -1})
	if err != nil {
		return append(out, finding{missing, "mirror", err.Error(), fault.HintOf(err)})
	}
	for _, r := range repos {
		if _, err := client.Release(ctx, r); err != nil {
			out = append(out, finding{missing, "mirror", err.Error(), fault.HintOf(err)})
			continue
		}
		from := "of the host's apt"
		if r.URI == strings.TrimRight(suite.Mirror, "/") || r.URI == strings.TrimRight(
			suite.SecurityMirror, "/") {
			from = "the distribution's own"
		}
		out = append(out,
			finding{fine, "mirror", fmt.Sprintf("%s, %s; its signature is good", r, from), ""})
	}
	if err := client.Close(); err != nil {
		out = append(out, finding{note, "cache", err.Error(), ""})
	}
	return out
}

// examineForeign asks for each architecture how its programs would run here.
func examineForeign(find func(arch string) (machine.Way, error)) finding {
	names := []string{machine.Native()}
	var emulated []string
	for _, arch := range machine.Known() {
		way, err := find(arch)
		switch {
		case err != nil || arch == machine.Native():
		case way.Emulated():
			emulated = append(emulated, arch)
		default:
			names = append(names, arch)
		}
	}
	f := finding{fine, "programs", "of " + strings.Join(names, ", "), ""}
	if len(emulated) == 0 {
		return finding{note, f.what, f.found + "; no emulator for others",
			"sudo apt-get install qemu-user-static"}
	}
	f.found += "; with an emulator of " + strings.Join(emulated, ", ")
	return f
}
