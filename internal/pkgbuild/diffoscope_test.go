package pkgbuild

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/checks"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/sandbox"
)

// TestDiffoscope: it has the packages and nothing else, what it writes comes out as files of names
// that lead nowhere else, and how it fails is told.
func TestDiffoscope(t *testing.T) {
	w := newWorld(t)
	w.suite.Add(fakedebian.Package{Name: "diffoscope-minimal", Version: "240", Architecture: w.arch,
		DataCompression: quick, ControlCompression: quick})
	w.publish()
	dir := t.TempDir()
	for _, name := range []string{"was.deb", "is.deb"} {
		w.write(filepath.Join(dir, name), name)
	}
	works := func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		was, err := p.ReadFile("was/package.deb")
		if err == nil {
			err = p.WriteFile("diffoscope.txt", "-"+string(was), 0o644)
		}
		if err == nil {
			err = p.WriteFile("diffoscope.html", "<p>", 0o644)
		}
		if err != nil {
			return p.Fail(err)
		}
		return sandbox.Status{Code: 1}
	}
	for _, c := range []struct {
		name    string
		program fakejail.Program
		files   string
		err     string
	}{
		{"they differ", works, "_.._evil.html _.._evil.txt", ""},
		{"they do not", fakejail.Prints("", 0), "", ""},
		{"it breaks down", fakejail.Prints("Traceback\n", 2), "",
			"diffoscope: exit status 2; its last words: "},
		{"it writes nothing", fakejail.Prints("", 1), "", "diffoscope.txt"},
	} {
		w.in(c.name, func(t *testing.T) {
			w.replace("diffoscope", c.program)
			e := w.open(t.Context())
			defer e.end()
			out := filepath.Join(t.TempDir(), "out")
			written, err := e.Diffoscope(t.Context(), Diffoscope{
				Tool: Tool{Suite: suiteName}, Dir: out,
				Pairs: []checks.FilePair{{Name: "/../evil", Was: filepath.Join(dir, "was.deb"),
					Is: filepath.Join(dir, "is.deb")}}})
			if c.err == "" && err != nil || c.err != "" && (err == nil ||
				!strings.Contains(err.Error(), c.err)) {
				t.Fatalf("%v, want %q", err, c.err)
			}
			entries, err := os.ReadDir(out)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, f := range entries {
				names = append(names, f.Name())
			}
			if got := strings.Join(names, " "); got != c.files || len(written) != len(names) {
				t.Errorf("%q and %q, want %q", written, got, c.files)
			}
			if c.files != "" && w.read(filepath.Join(out, names[1])) != "-was.deb" {
				t.Error("the text is another")
			}
		})
	}
}
