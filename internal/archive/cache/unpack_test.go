package cache

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive/hashes"
)

// TestUnpackTwice unpacks one list from two downloads, as processes do that chose another
// compression each: the file that an apt may be reading stays, unless it is damaged.
func TestUnpackTwice(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	c, err := Open(t.TempDir(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := []byte("Package: x\nVersion: 1\n")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "Packages.gz")
	if err := os.WriteFile(file, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, want := range []Content{
		{Name: "known", Size: int64(len(text)),
			Hashes: hashes.Set{SHA256: fmt.Sprintf("%x", sha256.Sum256(text))}},
		{Name: "unknown", Size: -1},
	} {
		unpack := func() (string, os.FileInfo) {
			t.Helper()
			in, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			p, err := c.Unpack(in, ".gz", 1000, want)
			if err != nil {
				t.Fatalf("%s: %v", want.Name, err)
			}
			info, err := os.Lstat(p)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(p); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s: %q, %v", want.Name, got, err)
			}
			return p, info
		}
		p, first := unpack()
		if _, second := unpack(); !os.SameFile(first, second) {
			t.Errorf("%s: the list is another file now", want.Name)
		}
		if err := os.WriteFile(p, bytes.ToUpper(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, third := unpack(); os.SameFile(first, third) {
			t.Errorf("%s: a damaged list stays", want.Name)
		}
		left, err := filepath.Glob(filepath.Join(c.dir, dirPartial, "*"))
		if err != nil || len(left) > 0 {
			t.Errorf("%s: left: %v, %v", want.Name, left, err)
		}
	}
}

// TestKeepAtOnce keeps Release files from several processes at a time: each is made once.
func TestKeepAtOnce(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	dir := t.TempDir()
	const processes, files = 4, 20
	var caches []*Cache
	for range processes {
		c, err := Open(dir, log)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		caches = append(caches, c)
	}
	made := make(chan os.FileInfo, processes)
	for i := range files {
		data := bytes.Repeat([]byte{byte(i)}, 1<<20)
		for _, c := range caches {
			go func() {
				path, err := c.Keep(Lists, data)
				if err != nil {
					t.Error(err)
				}
				info, err := os.Lstat(path)
				if err != nil {
					t.Error(err)
				}
				made <- info
			}()
		}
		first := <-made
		for range processes - 1 {
			if info := <-made; !os.SameFile(first, info) {
				t.Errorf("%d has been made again", i)
			}
		}
	}
}
