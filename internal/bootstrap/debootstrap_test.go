package bootstrap

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/bootstrap/unpack"
	"nsbuild/internal/deb"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/testenv"
)

func TestMain(m *testing.M) {
	sandbox.Main(map[string]sandbox.Applet{unpack.Name: unpack.Main})
	os.Exit(withCache(m))
}

// sharedCache is where all tests of a run keep what they fetch: they make the same suites.
var sharedCache string

func withCache(m *testing.M) (status int) {
	dir, err := os.MkdirTemp("", "bootstrap-test-")
	if err == nil {
		sharedCache = filepath.Join(dir, "cache")
		status = m.Run()
		err = os.RemoveAll(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// world is what a test bootstraps with.
type world struct {
	holder jails.Holder
	host   *aptconf.Host
	client *archive.Client
	cache  string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	testenv.RequireUserns(t)
	testenv.RequireNetwork(t)
	ids, err := sandbox.ResolveIDs()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{cache: sharedCache}
	// Not the test's context: that ends before the trees are removed.
	if w.holder, err = jails.Start(context.Background(),
		sandbox.HolderSpec{IDs: ids}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.holder.Close(); err != nil {
			t.Error(err)
		}
	})
	if w.host, err = aptconf.ReadHost("/", nil); err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	if w.client, err = archive.NewClient(
		archive.Options{CacheDir: w.cache, Host: w.host, Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.client.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// release is a suite without its -updates and -security, which debootstrap does not look at.
func (w *world) release(t *testing.T, name string) (suites.Suite, *release.File) {
	t.Helper()
	suite, err := suites.New().Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	repos, err := w.host.Repos(suite, "", "")
	if err != nil {
		t.Fatal(err)
	}
	release, err := w.client.Release(t.Context(), repos[0])
	if err != nil {
		t.Fatal(err)
	}
	return suite, release
}

// bootstrap makes a tree that the test's end removes.
func (w *world) bootstrap(t *testing.T, suite suites.Suite, of *release.File,
	change func(*Options)) (string, *Result) {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	if err := w.holder.MakeRoot(t.Context(), tree); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.holder.RemoveTree(context.Background(), tree); err != nil {
			t.Error(err)
		}
	})
	var log bytes.Buffer
	o := Options{
		Holder: w.holder, Tree: tree, Client: w.client, CacheDir: w.cache,
		Releases: []*release.File{of}, Suite: suite, Arch: "amd64", Log: &log,
	}
	if change != nil {
		change(&o)
	}
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatalf("%v; the log:\n%s", err, log.String())
	}
	t.Logf("%s: %v", suite.Name, result.Timings)
	return tree, result
}

// debootstrap is the model's program, unpacked from the suite that has the version whose bases are
// the measure.
func (w *world) debootstrap(t *testing.T) string {
	t.Helper()
	_, release := w.release(t, "trixie")
	var found *index.Package
	err := w.client.Packages(t.Context(), release, "main", "amd64", func(p *index.Package) error {
		if p.Package == "debootstrap" {
			found = p
		}
		return nil
	})
	if err != nil || found == nil {
		t.Fatalf("looking for debootstrap: %v, %v", found, err)
	}
	files, err := w.client.Debs(t.Context(), []*index.Package{found})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "debootstrap-"+found.Version)
	if err := extractPlain(files[found], dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// extractPlain extracts a trusted package of files, directories and symbolic links.
func extractPlain(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	d, err := deb.NewReader(f, deb.Limits{})
	if err != nil {
		return err
	}
	defer d.Close()
	tr, err := d.Data()
	if err != nil {
		return err
	}
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		p := filepath.Join(dir, h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(p, 0o755)
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, p)
		default:
			var body []byte
			if body, err = io.ReadAll(tr); err == nil {
				err = os.WriteFile(p, body, h.FileInfo().Mode())
			}
		}
		if err != nil {
			return err
		}
	}
}

// The differences that are meant.
var exempt = []string{
	// Ours: neutral or for building.
	"/etc/resolv.conf", "/etc/hostname", "/etc/hosts", "/etc/apt/sources.list",
	"/etc/apt/apt.conf.d/90nsbuild", "/etc/dpkg/dpkg.cfg.d/90nsbuild", "/usr/sbin/policy-rc.d",
	// debootstrap's own traces: its logs, the lists and packages that it fetched, what it tells
	// dselect, device nodes.
	"/var/log/*", "/var/lib/apt/lists/*", "/var/cache/apt/archives/*.deb",
	"/var/lib/dpkg/available", "/var/lib/dpkg/cmethopt", "/dev/*",
	// Backups, and caches that name inodes or times.
	"/etc/*-", "/var/lib/dpkg/*-old", "/var/cache/debconf/*", "/var/cache/ldconfig/aux-cache",
	"/var/cache/apt/*.bin",
}

// TestAgainstDebootstrap compares what nsbuild makes with what debootstrap makes, file by file: a
// build base of one suite, and of others what is in every base, whose packages are the peculiar
// ones. Of their build bases, the packages are compared. One is made in all ways that nsbuild has.
func TestAgainstDebootstrap(t *testing.T) {
	testenv.RequireRoot(t)
	testenv.RequireTool(t, "wget", "gpgv", "dpkg")
	testenv.HostState(t)
	program := newWorld(t).debootstrap(t)
	for name, variant := range map[string]string{
		"bookworm": VariantBuildd, "trixie": VariantMinbase, "noble": VariantMinbase,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			suite, release := w.release(t, name)
			model := filepath.Join(t.TempDir(), "model")
			runDebootstrap(t, program, release, model, "--variant="+variant)
			tree, result := w.bootstrap(t, suite, release, func(o *Options) {
				o.Variant, o.Workers = variant, 5
			})
			if result.Fallback != "" {
				t.Errorf("dpkg had to unpack: %s", result.Fallback)
			}
			compareTrees(t, model, 0, tree, w.holder.IDs().UIDBase)
			for _, args := range [][]string{{"--audit"}, {"--verify"}} {
				out, err := exec.Command("dpkg",
					append([]string{"--root=" + tree}, args...)...).CombinedOutput()
				if err != nil || len(out) > 0 {
					t.Errorf("dpkg %v: %v\n%s", args, err, out)
				}
			}
			if variant != VariantBuildd {
				compareChoice(t, w, program, suite, release)
			}
			if name == "trixie" {
				compareWays(t, w, suite, release, variant, tree)
			}
		})
	}
}

// compareChoice compares the packages of build bases.
func compareChoice(t *testing.T, w *world, program string, suite suites.Suite,
	of *release.File) {
	t.Helper()
	o := Options{
		Holder: w.holder, Client: w.client, CacheDir: w.cache, Releases: []*release.File{of},
		Suite: suite, Arch: "amd64", Tree: filepath.Join(t.TempDir(), "tree"),
	}
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	selection, err := (&job{o: o}).choose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, p := range slices.Concat(selection.Required, selection.Base) {
		ours = append(ours, p.Package)
	}
	theirs := strings.Fields(runDebootstrap(t, program, of, filepath.Join(t.TempDir(), "model"),
		"--print-debs", "--variant=buildd"))
	// What it prints for Ubuntu has this in any case, and is not what it installs.
	theirs = slices.DeleteFunc(theirs, func(name string) bool { return name == "usrmerge" })
	slices.Sort(ours)
	slices.Sort(theirs)
	if d := cmp.Diff(slices.Compact(theirs), slices.Compact(ours)); d != "" {
		t.Errorf("packages of %s (- debootstrap's, + ours):\n%s", suite.Name, d)
	}
}

// runDebootstrap returns the standard output.
func runDebootstrap(t *testing.T, program string, of *release.File, target string,
	options ...string) string {
	t.Helper()
	repo := of.Repo()
	argv := slices.Concat([]string{filepath.Join(program, "usr/sbin/debootstrap")}, options,
		[]string{"--arch=amd64", repo.Suite, target, repo.URI})
	cmd := exec.Command("/bin/sh", argv...)
	cmd.Env = append(os.Environ(), "DEBOOTSTRAP_DIR="+filepath.Join(program,
		"usr/share/debootstrap"), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	// debootstrap mounts /proc in its tree; other packages' tests watch the host's mount table at
	// the same time.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		log, logErr := os.ReadFile(filepath.Join(target, "debootstrap/debootstrap.log"))
		t.Fatalf("debootstrap: %v\n%s%s\n%s\n%v", err, out, said.Bytes(), log, logErr)
	}
	return string(out)
}

// compareTrees reports every difference between a tree of debootstrap's and one of ours that is not
// exempt.
func compareTrees(t *testing.T, model string, modelBase uint32, tree string, base uint32) {
	t.Helper()
	one, err := readTree(model, modelBase)
	if err != nil {
		t.Fatal(err)
	}
	two, err := readTree(tree, base)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []struct {
		path      string
		normalise func(string) string
	}{
		{"/var/lib/dpkg/status", withoutPriority},
		{"/etc/passwd", withoutBuilder}, {"/etc/group", withoutBuilder},
		{"/etc/shadow", shadowWithoutDates}, {"/etc/gshadow", withoutBuilder},
	} {
		a, aErr := os.ReadFile(model + file.path)
		b, bErr := os.ReadFile(tree + file.path)
		if errors.Is(aErr, os.ErrNotExist) && errors.Is(bErr, os.ErrNotExist) {
			continue
		}
		if aErr != nil || bErr != nil {
			t.Errorf("%s: %v, %v", file.path, aErr, bErr)
			continue
		}
		for _, d := range lineDifferences(file.normalise(string(a)), file.normalise(string(b))) {
			t.Errorf("%s: %s", file.path, d)
		}
		one[file.path].sum, two[file.path].sum = "", ""
	}
	for _, d := range differences(one, two, exempt) {
		t.Error(d)
	}
}

// withoutPriority leaves out the fields of dpkg's status file in which debootstrap believes the
// archive and we, like dpkg, the package; and sorts the paragraphs.
func withoutPriority(status string) string {
	status = regexp.MustCompile(`(?m)^(Priority|Section): .*\n`).ReplaceAllString(status, "")
	paragraphs := strings.Split(strings.TrimSpace(status), "\n\n")
	slices.Sort(paragraphs)
	return strings.Join(paragraphs, "\n\n") + "\n"
}

// withoutBuilder leaves out the user that we add.
func withoutBuilder(text string) string {
	return regexp.MustCompile(`(?m)^`+BuilderName+`:.*\n`).ReplaceAllString(text, "")
}

// shadowWithoutDates leaves out the days of the last change, which are of the day of debootstrap's
// run there.
func shadowWithoutDates(text string) string {
	return regexp.MustCompile(`(?m)^([^:]*:[^:]*:)\d+`).ReplaceAllString(withoutBuilder(text), "$1")
}

func lineDifferences(a, b string) []string {
	one, two := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out []string
	for i := range max(len(one), len(two)) {
		switch {
		case i >= len(one):
			out = append(out, "+"+two[i])
		case i >= len(two):
			out = append(out, "-"+one[i])
		case one[i] != two[i]:
			out = append(out, "-"+one[i], "+"+two[i])
		}
		if len(out) > 20 {
			return append(out, "…")
		}
	}
	return out
}

// compareWays compares a tree, which was made natively by several workers, with those of other
// ways: by one worker, which must be the same to every byte and every time; and by dpkg, which the
// native way falls back to.
func compareWays(t *testing.T, w *world, suite suites.Suite, of *release.File, variant,
	tree string) {
	t.Helper()
	one, _ := w.bootstrap(t, suite, of, func(o *Options) { o.Variant, o.Workers = variant, 1 })
	base := w.holder.IDs().UIDBase
	a, err := readTree(one, base)
	if err != nil {
		t.Fatal(err)
	}
	b, err := readTree(tree, base)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences(a, b, nil) {
		t.Error(d)
	}
	for p, n := range a {
		if m := b[p]; m != nil && !n.mtime.Equal(m.mtime) {
			t.Errorf("%s: time %v ≠ %v", p, n.mtime, m.mtime)
		}
	}
	dpkg, _ := w.bootstrap(t, suite, of, func(o *Options) {
		o.Variant, o.UseDpkg = variant, true
	})
	compareTrees(t, dpkg, base, tree, base)
}
