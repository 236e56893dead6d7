package pkgbuild

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"nsbuild/internal/fakejail"
	"nsbuild/internal/sandbox"
)

// TestOutputDirectory stores results where dpkg-buildpackage would: beside the source directory
// that the caller stands in, else where the caller stands.
func TestOutputDirectory(t *testing.T) {
	w := newWorldAlone(t)
	dir, elsewhere := w.tree(crane()), t.TempDir()
	link := filepath.Join(elsewhere, "link")
	w.check(os.Symlink(dir, link))
	for _, c := range []struct{ name, from, at, stored string }{
		{"in it", ".", dir, filepath.Dir(dir)},
		{"below it", "..", filepath.Join(dir, "debian"), filepath.Dir(dir)},
		{"by a link", ".", link, filepath.Dir(dir)},
		{"elsewhere", dir, elsewhere, elsewhere},
		{"a .dsc", w.source(crane()), elsewhere, elsewhere},
	} {
		w.in(c.name, func(t *testing.T) {
			t.Chdir(c.at)
			b := w.must(c.from, func(r *Request) { r.Output = "" })
			if got := filepath.Dir(b.Artefacts[0]); got != c.stored {
				t.Errorf("stored in %s, want %s", got, c.stored)
			}
		})
	}
	w.in("a name that says nothing of the source", func(t *testing.T) {
		t.Chdir(elsewhere)
		w.replace("dpkg-buildpackage", then(w.programs["dpkg-buildpackage"],
			list("0000000000000000000000000000000000000000000000000000000000000000", 0, "Makefile")))
		b := w.build(w.source(crane()), func(r *Request) { r.Output = "" })
		w.tells("the error", fmt.Sprint(b.err), "lists Makefile, a name that says nothing of hello")
	})
}

// TestShellInstead ends a request in a shell where the build would begin: with its environment, in
// its source, and with nothing left behind.
func TestShellInstead(t *testing.T) {
	w := newWorld(t)
	w.replace("/bin/bash", func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		p.Printf("%s in %s as %d with %s\n", p.Getenv("debian_chroot"), p.Dir, p.UID,
			p.Getenv("DEB_BUILD_OPTIONS"))
		return fakejail.Exit(7)
	})
	r, out, err := os.Pipe()
	w.check(err)
	defer r.Close()
	dir := t.TempDir()
	b := w.must(w.source(crane()), func(r *Request) {
		r.Options = []string{"nodoc", "parallel=2"}
		r.InsteadOfBuild(Streams{Stdout: out}, dir)
	})
	w.check(out.Close())
	said, err := io.ReadAll(r)
	w.check(err)
	const want = "hello-2.10 in /build/reproducible-path/hello-2.10 as 1000 with nodoc parallel=2\n"
	if string(said) != want {
		t.Errorf("%q, want %q", said, want)
	}
	if b.Shell.Code != 7 || len(b.Artefacts) > 0 || b.LogPath != "" ||
		len(b.commands("dpkg-buildpackage")) > 0 {
		t.Errorf("%+v", b.Outcome)
	}
	left, err := os.ReadDir(dir)
	w.check(err)
	if len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	w.tells("the stages", b.stages(), "check architectures, build dependencies, unpack")
}
