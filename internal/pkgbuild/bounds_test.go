package pkgbuild

import (
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/deb"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/output"
)

func changesWith(files ...dsc.File) *dsc.Changes {
	return &dsc.Changes{Path: "a_1_amd64.changes", Source: "a", Files: files}
}

// TestBounds refuses what a .changes promises too much of, before anything is copied.
func TestBounds(t *testing.T) {
	many := changesWith()
	for i := range maxFiles + 1 {
		many.Files = append(many.Files, dsc.File{Name: fmt.Sprintf("a_%d", i)})
	}
	for _, tt := range []struct {
		changes *dsc.Changes
		max     int64
		kind    fault.Kind
		want    string
	}{
		{changesWith(dsc.File{Name: "a_1_amd64.deb", Size: 1 << 20},
			dsc.File{Name: "a_1_amd64.buildinfo", Size: 1 << 20}), 0, 0, ""},
		{changesWith(dsc.File{Name: "a_1_amd64.buildinfo", Size: 300 << 20}), 0, fault.Attempted,
			"a_1_amd64.buildinfo has 314572800 bytes; no .buildinfo has more than 16 MiB"},
		{changesWith(dsc.File{Name: "a_1.img", Size: 1 << 40}), 0, fault.Attempted,
			"lists more than 64 GiB of files (with a_1.img), no more is taken"},
		{changesWith(dsc.File{Name: "a_1.img", Size: 1 << 30},
			dsc.File{Name: "a_2.img", Size: 1 << 30}), 3 << 29, fault.Attempted,
			"more than 1 GiB of files (with a_2.img)"},
		{changesWith(dsc.File{Name: "a_1.img", Size: 1<<63 - 1},
			dsc.File{Name: "a_2.img", Size: 1<<63 - 1}), 1<<63 - 1, fault.Attempted, "more than"},
		{changesWith(dsc.File{Name: "a_1.img", Size: 1 << 60}), 1 << 61, fault.GivenBack,
			"the results cannot be stored in "},
		{many, 0, fault.Attempted, "lists 10001 files"},
	} {
		b := &builder{task: task{o: Request{How: How{MaxResults: tt.max}}}}
		a := newAside(t.TempDir())
		err := b.checkBounds(a, tt.changes)
		switch {
		case tt.want == "" && err == nil:
		case err == nil || !strings.Contains(err.Error(), tt.want) ||
			fault.KindOf(err) != tt.kind || fault.HintOf(err) == "":
			t.Errorf("%v (%v), want %q", err, fault.KindOf(err), tt.want)
		}
		if part := (*stageError)(nil); tt.kind == fault.GivenBack &&
			(!errors.As(err, &part) || part.stage != buildlog.StageCheckSpace) {
			t.Errorf("%v is a failure of the package", err)
		}
	}
}

// TestHoles keeps zeros from taking room.
func TestHoles(t *testing.T) {
	a := newAside(t.TempDir())
	f, err := a.create("a_1.img")
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 64<<10)
	for range 1024 {
		if _, err := f.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Write([]byte("text")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(zeros); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), a.synced(t.Context())); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(a.path("a_1.img"))
	if err != nil {
		t.Fatal(err)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || st.Size() != 64<<20+4+64<<10 ||
		sys.Blocks > 1<<10 {
		t.Errorf("%d bytes in %d blocks", st.Size(), sys.Blocks)
	}
	data, err := os.ReadFile(a.path("a_1.img"))
	if err != nil || string(data[64<<20:64<<20+5]) != "text\x00" {
		t.Errorf("%v: the text is not where it was", err)
	}
}

// TestCapture reads all that is said and keeps no more than allowed.
func TestCapture(t *testing.T) {
	c := output.Capture{Limit: 5}
	for _, text := range []string{"abc", "de"} {
		if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	if text, err := c.String(); text != "abcde" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if n, err := c.Write([]byte("fgh")); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if text, err := c.String(); text != "" || err == nil ||
		!strings.Contains(err.Error(), "more than 5 bytes") {
		t.Errorf("%q, %v", text, err)
	}
}

// TestReplaced replaces what comes from the same source, and nothing else.
func TestReplaced(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	packed := func(control string) string {
		var out strings.Builder
		if err := deb.Write(&out,
			deb.Package{Control: control + "Architecture: all\nVersion: 1\nMaintainer: x " +
				"<x@mirror.example>\nDescription: x\n"}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	write("own_1_all.deb", packed("Package: own\n"))
	write("lib_1_all.deb", packed("Package: lib\nSource: own (1.0)\n"))
	write("other_1_all.deb", packed("Package: other\nSource: others\n"))
	write("own-doc_1_all.deb", packed("Package: own-doc\nSource: others\n"))
	write("broken_1_all.deb", "nothing")
	write("own_1.tar.gz", "anything")
	write("Makefile", "all:\n")
	write("policy.pdf", "as listed")
	write("changed.pdf", "changed since")
	write("equal.txt", "new")
	const listed = "a3e8a4cb6e4d1bd8ee5e5bbcef0fbe6ff7a4dfc8d3f4c02a1a6d4dbd0b9a61ce"
	sum := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	write("own_0.9_all.changes",
		"Format: 1.8\nSource: own\nVersion: 0.9\nArchitecture: all\nDistribution: sid\nFiles:\n"+
			" "+fmt.Sprintf("%x", md5.Sum([]byte("as listed")))+" 9 doc byhand policy.pdf\n "+
			"00000000000000000000000000000000 9 doc byhand changed.pdf\n"+
			"Checksums-Sha256:\n "+sum("as listed")+" 9 policy.pdf\n "+listed+" 9 changed.pdf\n")
	if err := os.Mkdir(filepath.Join(dir, "own_dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link.pdf": "/etc/passwd",
		"gone_1_all.deb": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, fine := range map[string]bool{
		"own_1_all.deb": true, "lib_1_all.deb": true, "own_1.tar.gz": true, "new_1_all.deb": true,
		"policy.pdf": true,
		"equal.txt":  true, "own_1_all.changes": true,
		"other_1_all.deb": false, "own-doc_1_all.deb": false, "broken_1_all.deb": false,
		"Makefile":    false,
		"changed.pdf": false, "own_dir": false, "link.pdf": false, "gone_1_all.deb": false,
	} {
		a := newAside(dir)
		if err := a.write(name, []byte("new")); err != nil {
			t.Fatal(err)
		}
		err := (&builder{}).checkReplaced(a, &dsc.Changes{Source: "own"})
		if fine != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil &&
			(!strings.Contains(err.Error(),
				"is there already, and does not come from the source own") ||
				fault.HintOf(err) == "") {
			t.Error(err)
		}
		a.discard()
	}
}

// TestNames takes names that say nothing of the source only where a directory was named for them.
func TestNames(t *testing.T) {
	for name, fine := range map[string]bool{
		"a_1.tar.gz": true, "libb_1.0+x~1_amd64.deb": true, "b-dbgsym_1_arm64.ddeb": true,
		"a_1_amd64.buildinfo":           true,
		"b_1_amd64_translations.tar.gz": true, "Makefile": false, "setup.py": false,
		"policy.pdf.gz": false, "ab.deb": false,
	} {
		b := &builder{}
		if err := b.checkNames(changesWith(dsc.File{Name: name})); fine != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		b.o.Output = "."
		if err := b.checkNames(changesWith(dsc.File{Name: name})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
