package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/testenv"
)

func TestMain(m *testing.M) {
	sandbox.Main(map[string]sandbox.Applet{Name: Main})
	goleak.VerifyTestMain(m)
}

// place is a holder and an empty tree in it.
type place struct {
	t    *testing.T
	h    jails.Holder
	dir  string
	tree string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	testenv.RequireUserns(t)
	testenv.HostState(t)
	ids, err := sandbox.ResolveIDs()
	if err != nil {
		t.Fatal(err)
	}
	h, err := jails.Start(context.Background(), sandbox.HolderSpec{IDs: ids})
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, h: h, dir: t.TempDir()}
	t.Cleanup(func() {
		if err := h.RemoveTree(context.Background(), filepath.Join(p.dir, "draft")); err != nil {
			t.Error(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := os.Mkdir(filepath.Join(p.dir, "draft"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.tree = filepath.Join(p.dir, "draft", "tree")
	if err := h.MakeRoot(t.Context(), p.tree); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *place) file(data []byte) *os.File {
	p.t.Helper()
	name := filepath.Join(p.dir, "archive")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		p.t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { f.Close() })
	return f
}

func (p *place) load(data []byte) (Imported, error) {
	return Import(p.t.Context(), p.h, p.file(data), p.tree)
}

func (p *place) export(f Format) []byte {
	p.t.Helper()
	var out bytes.Buffer
	if _, err := Export(p.t.Context(), p.h, p.tree, &out, f); err != nil {
		p.t.Fatal(err)
	}
	return out.Bytes()
}

// names lists an exported tree, directories with a slash.
func (p *place) names() []string {
	p.t.Helper()
	var out []string
	r := tar.NewReader(bytes.NewReader(p.export(Tar)))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			p.t.Fatal(err)
		}
		out = append(out, strings.TrimPrefix(h.Name, "./"))
	}
}

var then = time.Unix(1500000000, 0)

func archiveOf(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		body := h.PAXRecords["test.body"]
		delete(h.PAXRecords, "test.body")
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.ModTime.IsZero() {
			h.ModTime = then
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		h.Format, h.Size = tar.FormatPAX, int64(len(body))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func with(body string) map[string]string { return map[string]string{"test.body": body} }

// TestRoundTrip: all that a tree can have comes out as it went in, whatever compression it went
// through.
func TestRoundTrip(t *testing.T) {
	// cap_net_raw=ep, capabilities(7)
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	long := strings.Repeat("long/", 30) + "name"
	big := strings.Repeat("x", 1<<20) + strings.Repeat("\x00", 3<<20) + "end"
	original := archiveOf(t,
		tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "./big", PAXRecords: with(big)},
		tar.Header{Name: "./bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin", Mode: 0o777,
			ModTime: then.Add(time.Hour)},
		tar.Header{Name: "./caps", Mode: 0o755, PAXRecords: map[string]string{
			xattrRecord + "security.capability": capability, xattrRecord + "user.mine": "\x00\xff",
			"test.body": "c"}},
		tar.Header{Name: "./etc/", Typeflag: tar.TypeDir, Mode: 0o750, Uid: 7, Gid: 65533,
			ModTime: then.Add(123456789)},
		tar.Header{Name: "./etc/fifo", Typeflag: tar.TypeFifo, Mode: 0o620, Gid: 5},
		tar.Header{Name: "./etc/secret", Mode: 0o001, Uid: 1000, Gid: 42, PAXRecords: with("s"),
			ModTime: then.Add(1)},
		tar.Header{Name: "./setuid", Mode: 0o6755, Uid: 3, Gid: 4, PAXRecords: with("u")},
		tar.Header{Name: "./usr/", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "./usr/bin/", Typeflag: tar.TypeDir, Mode: 0o1777},
		tar.Header{Name: "./usr/bin/again", Typeflag: tar.TypeLink, Linkname: "./setuid",
			Mode: 0o6755, Uid: 3, Gid: 4},
		tar.Header{Name: "./usr/bin/dangling", Typeflag: tar.TypeSymlink, Linkname: "/../nowhere/" +
			long, Mode: 0o777, Uid: 9},
		tar.Header{Name: "./usr/bin/\xff\n", PAXRecords: with("odd")},
		tar.Header{Name: "./zero", PAXRecords: with("")},
	)
	for _, format := range []Format{Tar, Gzip, XZ, Zstd} {
		p := newPlace(t)
		if _, err := p.load(original); err != nil {
			t.Fatal(err)
		}
		first := p.export(Tar)
		if !bytes.Equal(first, original) {
			t.Fatal("the tree is not what was imported")
		}
		compressed := p.export(format)
		if again := p.export(format); !bytes.Equal(again, compressed) {
			t.Errorf("%s: the second export is not the first", format)
		}
		q := newPlace(t)
		if got, err := q.load(compressed); err != nil || got.Kind != "tar archive" {
			t.Fatal(format, got, err)
		}
		if second := q.export(Tar); !bytes.Equal(first, second) {
			t.Errorf("%s: what was exported, imported and exported is not the same", format)
		}
	}
}

// TestLeftOut: what has no place in a base is counted, and the rest is there.
func TestLeftOut(t *testing.T) {
	p := newPlace(t)
	got, err := p.load(archiveOf(t,
		tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3},
		tar.Header{Name: "white", Typeflag: tar.TypeChar},
		tar.Header{Name: "dir/", Typeflag: tar.TypeDir, PAXRecords: map[string]string{
			xattrRecord + "user.overlay.opaque": "y", xattrRecord + "trusted.overlay.opaque": "y",
			xattrRecord + "security.selinux": "x"}},
		tar.Header{Name: "deep/er/file", PAXRecords: with("x")},
	))
	if err != nil || got.Notes.Devices != 2 || len(got.Notes.Xattrs) != 3 ||
		len(got.Notes.Lines()) != 4 {
		t.Errorf("%+v, %v", got, err)
	}
	if names := p.names(); !slices.Equal(names, []string{"", "deep/", "deep/er/", "deep/er/file",
		"dir/"}) {
		t.Errorf("%q", names)
	}
	if bytes.Contains(p.export(Tar), []byte("opaque")) {
		t.Error("an attribute of overlayfs was taken over")
	}
}

// TestReplaced: of two entries with one name the last counts, and a link does not lead a
// directory's attributes astray.
func TestReplaced(t *testing.T) {
	p := newPlace(t)
	if _, err := p.load(archiveOf(t,
		tar.Header{Name: "a/", Typeflag: tar.TypeDir, Mode: 0o700},
		tar.Header{Name: "a/below", PAXRecords: with("x")},
		tar.Header{Name: "a", PAXRecords: with("now a file")},
		tar.Header{Name: "b", PAXRecords: with("x")},
		tar.Header{Name: "b/c", Typeflag: tar.TypeDir}, // the parent is a file: see below
	)); err == nil {
		t.Error("a file was taken for a directory")
	}
	p = newPlace(t)
	if _, err := p.load(archiveOf(t,
		tar.Header{Name: "a/", Typeflag: tar.TypeDir, Mode: 0o700},
		tar.Header{Name: "a", PAXRecords: with("file")},
		tar.Header{Name: "usr/lib/", Typeflag: tar.TypeDir, Mode: 0o711, Uid: 8},
		tar.Header{Name: "lib", Typeflag: tar.TypeSymlink, Linkname: "usr/lib"},
		tar.Header{Name: "lib/file", PAXRecords: with("through the link")},
	)); err != nil {
		t.Fatal(err)
	}
	if names := p.names(); !slices.Equal(names,
		[]string{"", "a", "lib", "usr/", "usr/lib/", "usr/lib/file"}) {
		t.Errorf("%q", names)
	}
}

// TestHostile: nothing outside the tree is written or read, whatever the archive says.
func TestHostile(t *testing.T) {
	outside := t.TempDir()
	for name, c := range map[string]struct {
		headers []tar.Header
		want    string // in the error; "" where the archive is harmless
	}{
		"dots": {
			[]tar.Header{{Name: "../../.." + outside + "/x", PAXRecords: with("x")}},
			"leads out of the tree"},
		"dots in between": {
			[]tar.Header{{Name: "a/../../" + outside + "/x", PAXRecords: with("x")}},
			"leads out of the tree"},
		"absolute": {[]tar.Header{{Name: outside + "/x", PAXRecords: with("x")}, {Name: "y"}},
			""},
		"link and file": {[]tar.Header{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: outside},
			{Name: "l/x", PAXRecords: with("x")}}, "l"},
		"relative link": {
			[]tar.Header{
				{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../../../../../../../../.." +
					outside}, {Name: "l/x", PAXRecords: with("x")}},
			"l"},
		"link, directory and file": {
			[]tar.Header{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: outside},
				{Name: outside + "/", Typeflag: tar.TypeDir}, {Name: "l/x", PAXRecords: with("x")}},
			""},
		"link and attributes": {
			[]tar.Header{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: outside},
				{Name: "l", Typeflag: tar.TypeDir, Mode: 0o777}}, ""},
		"hard link": {
			[]tar.Header{{Name: "h", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}},
			"no such file"},
		"hard link with dots": {
			[]tar.Header{{Name: "h", Typeflag: tar.TypeLink, Linkname: "../../../../etc/passwd"}},
			"leads out of the tree"},
		"hard link through a link": {
			[]tar.Header{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc"},
				{Name: "h", Typeflag: tar.TypeLink, Linkname: "l/passwd"}}, "no such file"},
		"ids":         {[]tar.Header{{Name: "x", Uid: 65536}}, "belongs to 65536:0"},
		"caller's id": {[]tar.Header{{Name: "x", Gid: 1<<31 - 1}}, "jail has ids below"},
		"the root a file": {[]tar.Header{{Name: ".", PAXRecords: with("x")}},
			"root is not a directory"},
		"unknown type": {[]tar.Header{{Name: "x", Typeflag: 'V'}}, "not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			before, err := os.Stat(outside)
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.load(archiveOf(t, c.headers...))
			if (err == nil) != (c.want == "") || err != nil &&
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
			if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
				t.Errorf("outside the tree there is now %v, %v", entries, err)
			}
			if after, err := os.Stat(outside); err != nil || after.Mode() != before.Mode() ||
				!after.ModTime().Equal(before.ModTime()) {
				t.Errorf("a directory outside was changed: %v", err)
			}
		})
	}
	for name, data := range map[string][]byte{"text": []byte("no archive"), "empty": nil,
		"cut":      archiveOf(t, tar.Header{Name: "x", PAXRecords: with("12345")})[:514],
		"bad gzip": []byte("\x1f\x8bxxxxxxxxxxxxxxxxxxxx")} {
		p := newPlace(t)
		if _, err := p.load(data); err == nil {
			t.Errorf("%s was imported", name)
		}
	}
}

// TestOneDirectory: an archive of the directory, instead of what is in it.
func TestOneDirectory(t *testing.T) {
	p := newPlace(t)
	if _, err := p.load(
		archiveOf(t, tar.Header{Name: "chroot/", Typeflag: tar.TypeDir, Mode: 0o711},
			tar.Header{Name: "chroot/etc/", Typeflag: tar.TypeDir})); err != nil {
		t.Fatal(err)
	}
	if names := p.names(); !slices.Equal(names, []string{"", "etc/"}) {
		t.Errorf("%q", names)
	}
}

// TestDirectory imports a directory of the caller's.
func TestDirectory(t *testing.T) {
	p := newPlace(t)
	dir := filepath.Join(p.dir, "from")
	if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/shadow", filepath.Join(dir, "etc", "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := Import(t.Context(), p.h, f, p.tree); err != nil || got.Kind != "directory" {
		t.Fatal(got, err)
	}
	r := tar.NewReader(bytes.NewReader(p.export(Tar)))
	for _, want := range []string{"./ 0 0 700", "./etc/ 0 0 700", "./etc/link 0 0 777",
		"./file 0 0 640"} {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s %d %d %o", h.Name, h.Uid, h.Gid, h.Mode); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// layersOf are two layers, the second of which deletes, makes opaque and replaces.
func layersOf(t *testing.T) [][]byte {
	lower := archiveOf(t,
		tar.Header{Name: "gone", PAXRecords: with("x")},
		tar.Header{Name: "kept", PAXRecords: with("x")},
		tar.Header{Name: "dir/", Typeflag: tar.TypeDir},
		tar.Header{Name: "dir/old", PAXRecords: with("x")},
		tar.Header{Name: "tree/sub/", Typeflag: tar.TypeDir}, tar.Header{Name: "tree/sub/file"},
		tar.Header{Name: "replaced/", Typeflag: tar.TypeDir}, tar.Header{Name: "replaced/in"})
	upper := archiveOf(t,
		tar.Header{Name: ".wh.gone"}, tar.Header{Name: "dir/", Typeflag: tar.TypeDir},
		tar.Header{Name: "dir/new", PAXRecords: with("x")}, tar.Header{Name: "dir/.wh..wh..opq"},
		tar.Header{Name: "tree/.wh.sub"}, tar.Header{Name: "replaced", PAXRecords: with("file")},
		tar.Header{Name: ".wh...", PAXRecords: with("")}, tar.Header{Name: "own"},
		tar.Header{Name: ".wh.own"})
	return [][]byte{lower, upper}
}

var merged = []string{"", "dir/", "dir/new", "kept", "own", "replaced", "tree/"}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func mustJSON(t *testing.T, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestOCI(t *testing.T) {
	type object = map[string]any
	image := func(t *testing.T, arch string, damage bool) []byte {
		var layers []object
		files := []tar.Header{
			{Name: "oci-layout", PAXRecords: with(`{"imageLayoutVersion":"1.0.0"}`)}}
		blob := func(data []byte) string {
			sum := digestOf(data)
			files = append(files,
				tar.Header{Name: "blobs/sha256/" + sum, PAXRecords: with(string(data))})
			return "sha256:" + sum
		}
		for _, l := range layersOf(t) {
			var z bytes.Buffer
			w, err := compressor(t.Context(), &z, Gzip)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(l); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			layers = append(layers, object{"digest": blob(z.Bytes())})
		}
		if damage {
			files[1].PAXRecords = with("damaged")
		}
		manifest := blob([]byte(mustJSON(t, object{"layers": layers})))
		inner := blob([]byte(mustJSON(t, object{"manifests": []object{
			{"digest": manifest, "platform": object{"os": "linux", "architecture": arch}},
			{"digest": manifest, "platform": object{"os": "plan9", "architecture": "mips"}},
		}})))
		return archiveOf(t,
			append(files,
				tar.Header{Name: "index.json",
					PAXRecords: with(
						mustJSON(t, object{"manifests": []object{{"digest": inner}}}))})...)
	}
	p := newPlace(t)
	if got, err := p.load(image(t, runtime.GOARCH, false)); err != nil ||
		got.Kind != "container image" {
		t.Fatal(got, err)
	}
	if names := p.names(); !slices.Equal(names, merged) {
		t.Errorf("%q, want %q", names, merged)
	}
	if _, err := newPlace(t).load(image(t, "other", false)); err == nil ||
		!strings.Contains(err.Error(), "linux/other, plan9/mips") {
		t.Error(err)
	}
	if _, err := newPlace(t).load(image(t, runtime.GOARCH, true)); err == nil ||
		!strings.Contains(err.Error(), "damaged") {
		t.Error(err)
	}
}

func TestDocker(t *testing.T) {
	layers := layersOf(t)
	image := func(manifest string) []byte {
		return archiveOf(t, tar.Header{Name: "a/layer.tar", PAXRecords: with(string(layers[0]))},
			tar.Header{Name: "b/layer.tar", PAXRecords: with(string(layers[1]))},
			tar.Header{Name: "manifest.json", PAXRecords: with(manifest)})
	}
	p := newPlace(t)
	if got, err := p.load(
		image(`[{"Config":"c.json","RepoTags":["x:y"],"Layers":["a/layer.tar","b/layer.tar"]}]`)); err != nil || got.Kind != "container image" {
		t.Fatal(got, err)
	}
	if names := p.names(); !slices.Equal(names, merged) {
		t.Errorf("%q, want %q", names, merged)
	}
	for manifest, want := range map[string]string{
		`[{"Layers":["../../../../../etc/passwd"]}]`: "escapes",
		`[{"Layers":["a/layer.tar"]},{"Layers":[]}]`: "has 2 images",
		`[{"Layers":[]}]`: "has no files",
		`{`:               "unexpected EOF",
	} {
		if _, err := newPlace(t).load(image(manifest)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", manifest, err)
		}
	}
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]Format{"/a.b/x.tar": Tar, "x.tgz": Gzip, "x.tar.xz": XZ,
		"x.tar.zst": Zstd, "x.gz": "", "tar": ""} {
		if got, err := FormatOf(name); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}

func FuzzDecompress(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Add([]byte("\xfd7zXZ\x00"))
	f.Add([]byte("\x28\xb5\x2f\xfd"))
	f.Add(make([]byte, 1024))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decompress(bytes.NewReader(data))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<20)) // what counts is that it ends
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}
