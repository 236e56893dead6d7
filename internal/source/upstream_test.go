package source

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

// sh runs a shell command in a directory.
func sh(t *testing.T, dir, command string) {
	t.Helper()
	c := exec.Command("sh", "-e", "-c", command)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// TestOpenPart hands out what a link beside a source leads to only if it is what its name says.
func TestOpenPart(t *testing.T) {
	testenv.RequireTool(t, "gzip", "bzip2", "xz", "zstd")
	dir := t.TempDir()
	const sig = "-----BEGIN PGP SIGNATURE-----\n\niQ==\n=abcd\n-----END PGP SIGNATURE-----\n"
	sh(t, dir, `mkdir real; echo x >real/file; tar -cf t.tar real
		gzip -k t.tar; bzip2 -k t.tar; xz -k t.tar; xz -k --format=lzma t.tar; zstd -q t.tar; gzip -9 <t.tar >renamed
		echo 'root:$6$x:1::::::' >secret; gzip -k secret; tar -cf - -T /dev/null | xz >empty.tar.xz
		tar --format=v7 -cf - real | gzip >v7.tar.gz; tar --format=pax --pax-option=a=b -cf - real | gzip >pax.tar.gz
		printf -- '--- a-1.0.orig/x\n+++ a-1.0/x\n' | gzip >a.diff.gz; gzip </dev/null >none.diff.gz
		printf '%b' '`+strings.ReplaceAll(sig, "\n", `\n`)+`' >sig; cat sig secret >sig-and-more; mkfifo pipe; mkdir d`)
	for _, tt := range []struct{ name, target, want string }{
		{"a.orig.tar.gz", "t.tar.gz", ""},
		{"a.orig.tar.bz2", "t.tar.bz2", ""},
		{"a.orig.tar.xz", "t.tar.xz", ""},
		{"a.orig.tar.lzma", "t.tar.lzma", ""},
		{"a.orig.tar.zst", "t.tar.zst", ""},
		{"b.orig.tar.gz", "renamed", ""},
		{"c.orig.tar.xz", "empty.tar.xz", ""},
		{"d.orig.tar.gz", "v7.tar.gz", ""},
		{"e.orig.tar.gz", "pax.tar.gz", ""},
		{"a.orig.tar.gz.asc", "sig", ""},
		{"a-1.diff.gz", "a.diff.gz", ""},
		{"b-1.diff.gz", "none.diff.gz", ""},
		{"f.orig.tar.gz", "secret", "is a link to " + dir +
			"/secret, which is not a compressed tar archive"},
		{"g.orig.tar.gz", "secret.gz", "which is not a compressed tar archive"},
		{"h.orig.tar.gz", "t.tar", "which is not a compressed tar archive"},
		{"i.orig.tar.gz", "sig", "which is not a compressed tar archive"},
		{"f.orig.tar.gz.asc", "secret", "which is not an OpenPGP signature"},
		{"g.orig.tar.gz.asc", "sig-and-more", "which is not an OpenPGP signature"},
		{"c-1.diff.gz", "secret.gz", "which is not a compressed diff"},
		{"j.orig.tar.gz", "/dev/null", "which is not a compressed tar archive"},
		{"k.orig.tar.gz", "/dev/zero", "it is a device"},
		{"l.orig.tar.gz", "pipe", "it is a pipe (FIFO)"},
		{"m.orig.tar.gz", "d", "it is a directory"},
		{"n.orig.tar.gz", "nowhere", "no such file"},
	} {
		name := filepath.Join(dir, tt.name)
		if err := os.Symlink(tt.target, name); err != nil {
			t.Fatal(err)
		}
		f, err := openPart(name)
		if err == nil {
			text, readErr := io.ReadAll(f)
			want, wantErr := os.ReadFile(filepath.Join(dir, tt.target))
			if tt.want != "" || readErr != nil || wantErr != nil || string(text) != string(want) {
				t.Errorf("%s to %s: %d bytes of %d, want %q", tt.name, tt.target, len(text),
					len(want), tt.want)
			}
			f.Close()
			continue
		}
		if tt.want == "" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s to %s: %v, want %q", tt.name, tt.target, err, tt.want)
		}
	}
	// What lies there itself is the source's own, whatever it is.
	sh(t, dir, "cp secret o.orig.tar.gz")
	f, err := openPart(filepath.Join(dir, "o.orig.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// FuzzIsTarball recognises, and never fails, whatever a link leads to.
func FuzzIsTarball(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Add([]byte("BZh9"))
	f.Add([]byte("\xfd7zXZ\x00"))
	f.Add([]byte("\x5d\x00\x00\x80\x00"))
	f.Add([]byte("\x28\xb5\x2f\xfd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if isTarball(bytes.NewReader(data)) && isDiff(bytes.NewReader(data)) && len(data) == 0 {
			t.Fatal("nothing is both")
		}
	})
}
