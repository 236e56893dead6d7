package fakejail_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fakejail"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// tree makes a directory with files and their texts; "-> TARGET" is a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if target, ok := strings.CutPrefix(text, "-> "); ok && err == nil {
			err = os.Symlink(target, file)
		} else if err == nil {
			err = os.WriteFile(file, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// files are those of a tree, as tree takes them.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(name)
			out[rel] = "-> " + target
			return err
		}
		text, err := os.ReadFile(name)
		out[rel] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// start starts a holder.
func start(t *testing.T, m *fakejail.Maker) jails.Holder {
	t.Helper()
	h, err := m.Start(t.Context(), sandbox.HolderSpec{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// open opens a jail over layers.
func open(t *testing.T, h jails.Holder, lowers ...sandbox.Lower) *fakejail.Jail {
	t.Helper()
	j, err := h.NewJail(t.Context(), sandbox.Spec{Root: sandbox.Root{Lowers: lowers}})
	if err != nil {
		t.Fatal(err)
	}
	return j.(*fakejail.Jail)
}

// TestLayers changes files over a base, keeps the changes as a layer, and finds them over the base
// again, and over another one.
func TestLayers(t *testing.T) {
	base := tree(t, map[string]string{"kept": "1", "changed": "1", "gone": "1", "dir/gone": "1",
		"dir/kept": "1", "all/gone": "1", "file": "1", "link": "-> kept"})
	m := fakejail.New(t)
	m.Programs["change"] = func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		for _, err := range []error{p.WriteFile("/changed", "2", 0o644), p.Remove("/gone"),
			p.Remove("/dir/gone"), p.Remove("/all"), p.WriteFile("/new/file", "2", 0o755),
			p.Remove("/file"), p.WriteFile("/file/in/it", "2", 0o644), p.Remove("/link")} {
			if err != nil {
				t.Error(err)
			}
		}
		return fakejail.Exit(0)
	}
	h := start(t, m)
	j := open(t, h, sandbox.Lower{Path: base})
	if status, err := j.Run(t.Context(), sandbox.Command{Argv: []string{"change"}}); err != nil ||
		!status.Success() {
		t.Fatalf("%v, %v", status, err)
	}
	layer := filepath.Join(t.TempDir(), "layer")
	if _, err := h.SaveLayer(t.Context(), j.ID(), layer); err == nil {
		t.Error("the layer of an open jail was kept")
	}
	if _, err := j.Close(); err != nil {
		t.Fatal(err)
	}
	size, err := h.SaveLayer(t.Context(), j.ID(), layer)
	if err != nil || size != 3 {
		t.Errorf("the layer has %d bytes: %v", size, err)
	}
	want := map[string]string{"kept": "1", "changed": "2", "dir/kept": "1", "new/file": "2",
		"file/in/it": "2"}
	for _, lower := range []sandbox.Lower{{Jail: j.ID()}, {Path: layer}} {
		over := open(t, h, lower, sandbox.Lower{Path: base})
		if diff := cmp.Diff(want, files(t, over.Root())); diff != "" {
			t.Errorf("over %+v (-want +got):\n%s", lower, diff)
		}
		if _, err := over.Close(); err != nil {
			t.Error(err)
		}
	}
	root := filepath.Join(t.TempDir(), "root")
	if err := h.SaveRoot(t.Context(), []sandbox.Lower{{Jail: j.ID()}, {Path: base}}, root,
		[]string{"new"}); err != nil {
		t.Error(err)
	}
	delete(want, "new/file")
	if diff := cmp.Diff(want, files(t, root)); diff != "" {
		t.Errorf("the root that was kept (-want +got):\n%s", diff)
	}
	if got := files(t, base); got["gone"] != "1" || got["changed"] != "1" {
		t.Errorf("the base was changed: %v", got)
	}
}

// TestFiles makes and opens files of a jail: no link is followed, nothing is overwritten, owners
// are recorded, mounts are seen.
func TestFiles(t *testing.T) {
	outside := tree(t, map[string]string{"secret": "x", "list": "verified"})
	base := tree(t, map[string]string{"etc/passwd": "root", "out": "-> " + outside,
		"up": "-> ../../../../etc/passwd", "run/x": ""})
	h := start(t, fakejail.New(t))
	jail, err := h.NewJail(t.Context(), sandbox.Spec{
		Root: sandbox.Root{Lowers: []sandbox.Lower{{Path: base}}},
		Mounts: []sandbox.Mount{{Type: "tmpfs", Target: "/run/own", Mkdir: true},
			{Type: "bind", Source: outside, Target: "/run/own/cache", Mkdir: true,
				ReadOnly: true}}})
	if err != nil {
		t.Fatal(err)
	}
	create := func(name string) func() error {
		return func() error {
			f, err := jail.Create(name, 0o600, 7, 8)
			if err == nil {
				err = f.Close()
			}
			return err
		}
	}
	read := func(name string) func() error {
		return func() error {
			f, err := jail.Open(name)
			if err == nil {
				err = f.Close()
			}
			return err
		}
	}
	for _, c := range []struct {
		name string
		do   func() error
		want error
	}{
		{"a file", read("etc/passwd"), nil},
		{"one that is not there", read("/etc/shadow"), fs.ErrNotExist},
		{"a link out of the jail", read("/out/secret"), syscall.ELOOP},
		{"a link", read("/up"), syscall.ELOOP},
		{"the way up", read("/../../etc/passwd"), nil},
		{"a mount", read("/run/own/cache/list"), nil},
		{"a new file", create("/etc/new"), nil},
		{"a file that is there", create("/etc/passwd"), fs.ErrExist},
		{"a file in no directory", create("/no/such"), fs.ErrNotExist},
		{"a file through a link", create("/out/new"), syscall.ELOOP},
		{"a file where nothing may be written", create("/run/own/cache/new"), syscall.EROFS},
		{"directories", func() error { return jail.Mkdir("/a/b", 0o700, 1, 2) }, nil},
		{"a directory that is there", func() error { return jail.Mkdir("/a", 0o700, 1, 2) },
			fs.ErrExist},
		{"a link", func() error { return jail.Symlink("own/cache/list", "/run/l") }, nil},
		{"a link that is there", func() error { return jail.Symlink("x", "/up") }, fs.ErrExist},
	} {
		if err := c.do(); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	want := map[string]fakejail.Owner{"/etc/new": {UID: 7, GID: 8}, "/a/b": {UID: 1, GID: 2}}
	if diff := cmp.Diff(want, jail.(*fakejail.Jail).Owners()); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(outside, "new")); err == nil {
		t.Error("a file was made outside the jail")
	}
}

// TestPrograms runs programs, and looks at what they are given and what is recorded.
func TestPrograms(t *testing.T) {
	base := tree(t, map[string]string{"etc/name": "inside", "home/link": "-> /etc"})
	m := fakejail.New(t)
	m.Programs["show"] = func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		in, err := io.ReadAll(p.Stdin)
		if err != nil {
			return p.Fail(err)
		}
		text, err := p.ReadFile("link/name")
		if err != nil {
			return p.Fail(err)
		}
		p.Printf("%s %s %s %s", p.Argv[1], p.Getenv("A"), in, text)
		p.Jail().Leave(sandbox.Stray{PID: 7, Command: "daemon"})
		return fakejail.Exit(3)
	}
	m.Programs["wait"] = func(ctx context.Context, _ *fakejail.Proc) sandbox.Status {
		<-ctx.Done()
		return fakejail.Exit(0)
	}
	h := start(t, m)
	j := open(t, h, sandbox.Lower{Path: base})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("typed"); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	status, err := j.RunTo(t.Context(), sandbox.Command{Argv: []string{"/usr/bin/show", "x"},
		Env: []string{"A=b"}, Dir: "/home", Stdin: r}, &out, &errs)
	if err != nil || status.Code != 3 || out.String() != "x b typed inside" || errs.Len() > 0 {
		t.Errorf("%v, %v: %q %q", status, err, out.String(), errs.String())
	}
	if _, err := j.Run(t.Context(), sandbox.Command{Argv: []string{"none"}}); !errors.Is(err,
		fs.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	if _, err := j.Run(ctx, sandbox.Command{Argv: []string{"wait"}}); !errors.Is(err, enough) {
		t.Errorf("a program whose time was over: %v", err)
	}
	if _, err := h.NewJail(t.Context(), j.Spec); err == nil {
		t.Error("two jails were open")
	}
	strays, err := j.Close()
	if err != nil || len(strays) != 1 || strays[0].Command != "daemon" {
		t.Errorf("left were %v: %v", strays, err)
	}
	if _, err := j.Open("etc/name"); err == nil {
		t.Error("a closed jail was used")
	}
	want := []fakejail.Call{{Op: "Run", Jail: 1, Args: []string{"/usr/bin/show", "x"}},
		{Op: "Run", Jail: 1, Args: []string{"none"}}, {Op: "Run", Jail: 1, Args: []string{"wait"}},
		{Op: "Close", Jail: 1}}
	if diff := cmp.Diff(want, m.Calls("Run", "Close")); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestSaid sets what a holder says, and lets a call fail.
func TestSaid(t *testing.T) {
	m := fakejail.New(t)
	full := errors.New("no space left")
	m.Prepare = func(h *fakejail.Holder) { h.Free, h.Kills = 0, 2 }
	m.Fail = func(c fakejail.Call) error {
		if c.Op == "MakeRoot" {
			return full
		}
		return nil
	}
	h, err := m.Start(t.Context(), sandbox.HolderSpec{ScratchDir: "/x",
		Limits: sandbox.Limits{Memory: 5}})
	if err != nil {
		t.Fatal(err)
	}
	room, err := h.Room()
	if err != nil {
		t.Fatal(err)
	}
	if space, err := room.Now(); err != nil || !space.Full() {
		t.Errorf("%+v, %v", space, err)
	}
	if e, err := h.Exhausted(); err != nil || e.Kills != 2 || e.Limit != 5 {
		t.Errorf("%+v, %v", e, err)
	}
	if h.Scratch() != sandbox.ScratchDisk {
		t.Error(h.Scratch())
	}
	if err := h.MakeRoot(t.Context(), filepath.Join(t.TempDir(), "x")); !errors.Is(err, full) {
		t.Error(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if _, err := h.Room(); !errors.Is(err, sandbox.ErrClosed) {
		t.Errorf("a closed holder was asked: %v", err)
	}
}
