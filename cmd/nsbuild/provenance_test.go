package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/result"
)

// none is no failure.
const none = fault.Kind(-1)

// keys writes an Ed25519 key and its public half.
func keys(t *testing.T, dir string) (private, public string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	private, public = filepath.Join(dir, "key.pem"), filepath.Join(dir, "key.pub")
	text, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	check(t, os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY",
		Bytes: text}), 0o600))
	text, err = x509.MarshalPKIXPublicKey(pub)
	check(t, err)
	check(t, os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: text}),
		0o600))
	return private, public
}

// of is a build of a source that has ended well.
func of(t *testing.T, dir, source string) *result.Result {
	t.Helper()
	sum := strings.Repeat("ab", 32)
	file := filepath.Join(dir, source+"_1_amd64.deb")
	check(t, os.WriteFile(file, []byte(source), 0o600))
	return &result.Result{Outcome: result.Outcome{Status: "successful"},
		Source: result.Source{Name: source, Version: "1", From: source,
			DSC: &result.Hashed{Name: source + ".dsc", SHA256: sum}},
		Inputs: result.Inputs{Base: result.Base{Packages: []result.Package{{Name: "libc6",
			Version: "2", Arch: "amd64", SHA256: sum}}}},
		Artefacts: []result.Artefact{{Path: file, Kind: "deb",
			Hashed: result.Hashed{Name: filepath.Base(file)}}}}
}

// TestProvenanceOfBuilds: the builds of one command that have succeeded have a line each, and
// nsbuild verify says so, or why not.
func TestProvenanceOfBuilds(t *testing.T) {
	onlyConfig(t, "")
	dir := t.TempDir()
	private, public := keys(t, dir)
	file := filepath.Join(dir, "all.jsonl")
	check(t, os.WriteFile(file, []byte("old"), 0o600))
	a := &app{stdout: os.Stdout, stderr: os.Stderr}
	c, rest, err := newRoot(a).Find([]string{"build", "--provenance", file, "--provenance-key",
		private, "--builder-id", "https://ci.example/1"})
	check(t, err)
	check(t, c.ParseFlags(rest))
	o := a.buildFlags
	check(t, o.provenance.complete(c.Flags(), o.Provenance))
	f := &a.result
	f.maker = &o.provenance
	check(t, f.claim(o.Places, &pkgbuild.Several{Sources: []string{"one", "two", "bad"}}))
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the old file: %v", err)
	}
	f.note(0, of(t, dir, "one"))
	f.note(1, of(t, dir, "two"))
	check(t, f.write(errors.New("failed")))
	for _, v := range []struct {
		name string
		args []string
		kind fault.Kind
		says string
	}{
		{"all", []string{"--key", public, file}, none, "two_1_amd64.deb: same"},
		{"one of them", []string{"--key", public, file, dir + "/one_1_amd64.deb"}, none,
			"build of one 1 by https://ci.example/1"},
		{"another file", []string{"--key", public, file, public}, fault.Differs, "unnamed"},
		{"no key", []string{file}, fault.Usage, ""},
		{"both", []string{"--key", public, "--unsigned", file}, fault.Usage, ""},
		{"the private key", []string{"--key", private, file}, fault.Usage, ""},
		{"unsigned", []string{"--unsigned", file}, fault.GivenBack, ""},
		{"nothing there", []string{"--key", public, file + "x"}, fault.Internal, ""},
	} {
		t.Run(v.name, func(t *testing.T) {
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			check(t, err)
			defer out.Close()
			root := newRoot(&app{stdout: out, stderr: os.Stderr})
			root.SetArgs(append([]string{"verify"}, v.args...))
			err = root.ExecuteContext(t.Context())
			if got := read(t, out.Name()); (err != nil) != (v.kind != none) ||
				err != nil && fault.KindOf(err) != v.kind || !strings.Contains(got, v.says) {
				t.Errorf("%v (%v)\n%s", err, fault.KindOf(err), got)
			}
		})
	}
}

// TestProvenanceIsRefused has command lines that cannot be followed, before anything is built.
func TestProvenanceIsRefused(t *testing.T) {
	onlyConfig(t, "")
	dir := t.TempDir()
	private, public := keys(t, dir)
	for says, args := range map[string][]string{
		"--provenance-key without --provenance": {"--provenance-key", private},
		"cannot sign":                           {"--provenance", dir + "/x", "--provenance-key", public},
		"is no URI":                             {"--provenance", dir + "/x", "--builder-id", "me"},
		"is a directory":                        {"--provenance", dir},
		"about what is built": {"--provenance", dir + "/x", "--plan",
			dir + "/x.plan.json"},
	} {
		a := &app{stdout: os.Stdout, stderr: os.Stderr}
		root := newRoot(a)
		root.SetOut(io.Discard)
		root.SetArgs(append([]string{"build", "hello"}, args...))
		err := root.ExecuteContext(t.Context())
		if err == nil || !strings.Contains(err.Error(), says) || fault.KindOf(err) != fault.Usage {
			t.Errorf("%v: %v", args, err)
		}
	}
}
