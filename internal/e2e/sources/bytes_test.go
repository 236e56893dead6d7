package sources

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// bytesSource is a source directory with names that are not UTF-8. Its rules print them.
func bytesSource(t *testing.T, dir string) {
	t.Helper()
	for name, text := range map[string]string{
		"caf\xe9":              "coffee\n",
		"d\xefr/back\\xe9":     "back\n",
		"debian/source/format": "3.0 (native)\n",
		"debian/changelog": "bytes (1.0) unstable; urgency=medium\n\n  * One.\n\n -- A " +
			"<a@example.org>  Mon, 01 Jan 2024 00:00:00 +0000\n",
		"debian/control": "Source: bytes\nMaintainer: A <a@example.org>\n\nPackage: " +
			"bytes\nArchitecture: all\nDescription: d\n",
		"debian/rules": e2e.BadRules("\t@case $@ in clean) exit 0; esac; printf 'seen: '; LC_ALL=C " +
			"ls -dQ * d?r/b* | tr '\\n' ' '; readlink l* | od -An -c; exit 7\n"),
	} {
		file := filepath.Join(dir, name)
		e2e.Check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		e2e.Check(t, os.WriteFile(file, []byte(text), 0o755))
	}
	e2e.Check(t, os.Symlink("d\xefr", filepath.Join(dir, "l\xefnk")))
}

// TestBytesOfSource builds a directory and a commit with names that are not UTF-8, in a directory
// with such a name.
func TestBytesOfSource(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.RequireTool(t, "git")
	w.Dir = filepath.Join(w.Dir, "J\xf6rg")
	dir := filepath.Join(w.Dir, "bytes")
	bytesSource(t, dir)
	for _, args := range [][]string{
		{"init", "-q"}, {"add", "-A"},
		{"-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", "One"},
	} {
		c := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
	}
	for _, more := range [][]string{nil, {"--git"}} {
		o := w.Run(t, append([]string{"build", "-d", "bookworm", "--result", "r.json", "bytes"},
			more...)...)
		log := e2e.Read(t, filepath.Join(w.Dir, "bytes_1.0_amd64.build"))
		want := `seen: "caf\351" "debian" "d\357r" "d\357r/back\\xe9" "l\357nk"    d 357   r  \n`
		if o.Status != 2 || !strings.Contains(log, want) {
			t.Fatalf("%q: %s\n%s", more, o, log)
		}
		text := e2e.Read(t, filepath.Join(w.Dir, "r.json"))
		e2e.Valid(t, "result.schema.json", text)
		if !strings.Contains(text, `J\\xf6rg/bytes_1.0_amd64`) ||
			!strings.Contains(text, `"/log"`) {
			t.Errorf("%q: %s", more, text)
		}
	}
}
