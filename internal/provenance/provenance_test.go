package provenance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fault"
	"nsbuild/internal/result"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, file string, text []byte) string {
	t.Helper()
	check(t, os.WriteFile(file, text, 0o600))
	return file
}

// pair writes a key and its public half.
func pair(t testing.TB, dir string, private crypto.Signer) (key, pub string) {
	t.Helper()
	text, err := x509.MarshalPKCS8PrivateKey(private)
	check(t, err)
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	check(t, err)
	name := fmt.Sprintf("%x", sha256.Sum256(public))[:8]
	return write(t, filepath.Join(dir, name+".pem"), pem.EncodeToMemory(&pem.Block{
			Type: "PRIVATE KEY", Bytes: text})),
		write(t, filepath.Join(dir, name+".pub"), pem.EncodeToMemory(&pem.Block{
			Type: "PUBLIC KEY", Bytes: public}))
}

func ed(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	return private
}

func ec(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	check(t, err)
	return private
}

// built is a build that has ended, and its artefacts.
func built(t testing.TB, dir string) *result.Result {
	t.Helper()
	sum := strings.Repeat("ab", 32)
	r := &result.Result{Program: "nsbuild 1", Source: result.Source{Name: "hello",
		Version: "1:2.10-3", From: "/home/somebody/hello_2.10-3.dsc",
		DSC:   &result.Hashed{Name: "hello_2.10-3.dsc", Size: 3, SHA256: sum},
		Files: []result.Hashed{{Name: "hello_2.10.orig.tar.gz", Size: 3, SHA256: sum}}},
		Target: result.Target{Distribution: "bookworm", BuildArch: "amd64", HostArch: "amd64",
			BuildType: "binary", Options: []string{"parallel=2"}},
		Inputs: result.Inputs{
			Base: result.Base{Name: "bookworm", Generation: 3, Digest: sum,
				Packages: []result.Package{{Name: "libc6", Version: "2.36-9+deb12u1", Arch: "amd64",
					SHA256: sum, URI: "http://mirror.example/debian", Release: sum,
					File: "pool/main/g/glibc/libc6_2.36-9+deb12u1_amd64.deb"}}},
			Releases: []result.Release{{URI: "http://mirror.example/debian", Suite: "bookworm",
				SHA256: sum}},
			Dependencies: []result.Package{{Name: "gcc-12", Version: "12", Arch: "amd64",
				SHA256: sum}}},
		Outcome: result.Outcome{Status: "successful"},
		Started: time.Unix(1700000000, 0).UTC(), Finished: time.Unix(1700000009, 0).UTC()}
	for _, name := range []string{"hello_2.10-3_amd64.deb", "hello_2.10-3_amd64.changes"} {
		file := write(t, filepath.Join(dir, name), []byte(name))
		r.Artefacts = append(r.Artefacts, result.Artefact{Path: file,
			Kind: strings.TrimPrefix(filepath.Ext(name), "."),
			Hashed: result.Hashed{Name: name,
				SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(name)))}})
	}
	return r
}

func maker() Maker { return Maker{Builder: "https://ci.example/1", Program: "nsbuild 1"} }

// states writes the statement of a build.
func states(t testing.TB, r *result.Result, file, key string) string {
	t.Helper()
	s, err := maker().Of(r)
	check(t, err)
	var signer *Key
	if key != "" {
		signer, err = ReadPrivate(key)
		check(t, err)
	}
	check(t, Write(t.Context(), file, []*Statement{s}, signer))
	return file
}

// pae is what an envelope's signature is of, as the protocol of DSSE v1 says, without the library.
func pae(kind string, body []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(body), body)
}

// TestSignedAsTheProtocolSays opens envelopes with nothing but Go's own cryptography, and compares
// the statement with what SLSA wants.
func TestSignedAsTheProtocolSays(t *testing.T) {
	for name, private := range map[string]crypto.Signer{"ed25519": ed(t),
		"P-256": ec(t, elliptic.P256()), "P-384": ec(t, elliptic.P384()),
		"P-521": ec(t, elliptic.P521())} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			key, pub := pair(t, dir, private)
			file := states(t, built(t, dir), filepath.Join(dir, "a.jsonl"), key)
			text, err := os.ReadFile(file)
			check(t, err)
			var e struct {
				PayloadType string
				Payload     []byte
				Signatures  []struct{ Sig []byte }
			}
			check(t, json.Unmarshal(text, &e))
			if !verified(private.Public(), pae(e.PayloadType, e.Payload), e.Signatures[0].Sig) {
				t.Error("the signature is not the protocol's")
			}
			looksRight(t, e.Payload)
			reader, err := ReadPublic(pub)
			check(t, err)
			all, err := Read(t.Context(), file, reader)
			check(t, err)
			want := []Verified{{Kind: BuildType, Builder: "https://ci.example/1",
				Source: "hello 1:2.10-3", Signed: true}}
			got := *all[0]
			got.Statement = nil
			if diff := cmp.Diff(want, []Verified{got}); diff != "" {
				t.Error(diff)
			}
			compared, err := Compare(all, nil, dir)
			check(t, err)
			if len(compared) != 2 || compared[0].State != Same || compared[1].State != Same {
				t.Errorf("%+v", compared)
			}
		})
	}
}

func verified(key crypto.PublicKey, text, signature []byte) bool {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(k, text, signature)
	case *ecdsa.PublicKey:
		short, middle, long := sha256.Sum256(text), sha512.Sum384(text), sha512.Sum512(text)
		sum := map[int][]byte{256: short[:], 384: middle[:], 521: long[:]}[k.Params().BitSize]
		return ecdsa.VerifyASN1(k, sum, signature)
	}
	return false
}

// looksRight reads a statement as any program would.
func looksRight(t *testing.T, text []byte) {
	t.Helper()
	var s struct {
		Type          string `json:"_type"`
		PredicateType string
		Subject       []struct {
			Name   string
			Digest map[string]string
		}
		Predicate struct {
			BuildDefinition struct {
				BuildType            string
				ExternalParameters   map[string]any
				ResolvedDependencies []struct {
					Name, URI, DownloadLocation string
					Digest                      map[string]string
				}
			}
			RunDetails struct {
				Builder  struct{ ID string }
				Metadata struct{ InvocationID, StartedOn, FinishedOn string }
			}
		}
	}
	check(t, json.Unmarshal(text, &s))
	if s.Type != "https://in-toto.io/Statement/v1" ||
		s.PredicateType != "https://slsa.dev/provenance/v1" || len(s.Subject) != 2 ||
		len(s.Subject[0].Digest["sha512"]) != 128 {
		t.Errorf("%s", text)
	}
	var used []string
	for _, d := range s.Predicate.BuildDefinition.ResolvedDependencies {
		used = append(used, strings.TrimSpace(d.Name+" "+d.URI+" "+d.DownloadLocation))
		if d.Digest["sha256"] == "" {
			t.Errorf("%+v", d)
		}
	}
	want := []string{"hello_2.10-3.dsc", "hello_2.10.orig.tar.gz",
		"Release of bookworm http://mirror.example/debian/dists/bookworm/Release",
		"libc6_2.36-9+deb12u1_amd64.deb " +
			"pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=bookworm " +
			"http://mirror.example/debian/pool/main/g/glibc/libc6_2.36-9+deb12u1_amd64.deb",
		"gcc-12 pkg:deb/debian/gcc-12@12?arch=amd64&distro=bookworm"}
	if diff := cmp.Diff(want, used); diff != "" {
		t.Error(diff)
	}
	run := s.Predicate.RunDetails
	if run.Metadata.StartedOn != "2023-11-14T22:13:20Z" || run.Metadata.InvocationID == "" ||
		run.Builder.ID != "https://ci.example/1" {
		t.Errorf("%+v", run)
	}
	if strings.Contains(string(text), "somebody") {
		t.Error("it names a directory of the user's")
	}
}

// TestRefusedStatements has files that must not be believed.
func TestRefusedStatements(t *testing.T) {
	dir := t.TempDir()
	r := built(t, dir)
	key, pub := pair(t, dir, ed(t))
	_, other := pair(t, dir, ed(t))
	signed, err := os.ReadFile(states(t, r, filepath.Join(dir, "signed"), key))
	check(t, err)
	plain, err := os.ReadFile(states(t, r, filepath.Join(dir, "plain"), ""))
	check(t, err)
	swap := func(text []byte, from, to string) []byte {
		if !bytes.Contains(text, []byte(from)) {
			t.Fatalf("there is no %q", from)
		}
		return bytes.ReplaceAll(text, []byte(from), []byte(to))
	}
	sealed := func(statement []byte) []byte {
		k, err := ReadPrivate(key)
		check(t, err)
		text, err := sign(t.Context(), bytes.TrimSpace(statement), k)
		check(t, err)
		return text
	}
	foreign := func(kind string) []byte {
		body := base64.StdEncoding.EncodeToString(bytes.TrimSpace(plain))
		sig := ed25519.Sign(ed(t), pae(kind, plain))
		return fmt.Appendf(nil, `{"payloadType":%q,"payload":%q,"signatures":[{"sig":%q}]}`, kind,
			body, base64.StdEncoding.EncodeToString(sig))
	}
	for name, c := range map[string]struct {
		text []byte
		key  string
		says string
	}{
		"another key":     {signed, other, "has not signed it"},
		"a key of nobody": {foreign(payloadType), pub, "has not signed it"},
		"not signed":      {plain, pub, "it is not signed"},
		"signed, no key":  {signed, "", "without a key nobody knows"},
		"no signature":    {swap(signed, `"signatures":[`, `"signatures":[],"x":[`), pub, "no signature"},
		"another payload": {foreign("text/plain"), pub, "no in-toto statement"},
		"cut":             {signed[:len(signed)/2], pub, "was cut"},
		"empty":           {nil, pub, "no statement"},
		"no JSON":         {[]byte("Format: 1.0\n"), pub, "it is no provenance"},
		"a list":          {[]byte("[]"), pub, "neither a statement nor"},
		"a second one":    {append(signed, plain...), pub, "statement 2: it is not signed"},
		"garbage behind":  {append(bytes.Clone(signed), "x"...), pub, "it is no provenance"},
		"buildType": {sealed(swap(plain, BuildType, "https://other.example/build")), pub,
			"nsbuild has not built this"},
		"predicate": {sealed(swap(plain, slsaType, "https://slsa.dev/provenance/v0.2")), pub,
			"a type that is not known here"},
		"old statement": {sealed(swap(plain, "Statement/v1", "Statement/v0.1")), pub, "its type is"},
		"path":          {sealed(swap(plain, "hello_2.10-3_amd64.deb", "../x.deb")), pub, "no name of an"},
		"no hash":       {sealed(swap(plain, "sha256", "sha999")), pub, "has no SHA-256"},
		"short hash":    {sealed(swap(plain, `"sha256":"`, `"sha256":"00`)), pub, "incorrect length"},
		"many": {bytes.Repeat([]byte(strings.TrimSpace(string(plain))+"\n"), maxStatements+1), "",
			"more than 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			var k *Key
			if c.key != "" {
				var err error
				k, err = ReadPublic(c.key)
				check(t, err)
			}
			file := write(t, filepath.Join(t.TempDir(), "x"), c.text)
			_, err := Read(t.Context(), file, k)
			if err == nil || !strings.Contains(err.Error(), c.says) ||
				fault.KindOf(err) != fault.GivenBack {
				t.Errorf("%v (%v)", err, fault.KindOf(err))
			}
		})
	}
	huge := filepath.Join(dir, "huge")
	check(t, os.WriteFile(huge, nil, 0o600))
	check(t, os.Truncate(huge, maxFile+1))
	if _, err := Read(t.Context(), huge, nil); err == nil {
		t.Error("a huge file is read")
	}
}

// TestEveryByteCounts changes one byte of an envelope at a time: whatever it is then, it does not
// say something else.
func TestEveryByteCounts(t *testing.T) {
	dir := t.TempDir()
	key, pub := pair(t, dir, ed(t))
	text, err := os.ReadFile(states(t, built(t, dir), filepath.Join(dir, "a"), key))
	check(t, err)
	k, err := ReadPublic(pub)
	check(t, err)
	before, err := read(t.Context(), text, k)
	check(t, err)
	want, err := marshal(before[0].Statement)
	check(t, err)
	for i := 0; i < len(text); i += 3 {
		changed := bytes.Clone(text)
		changed[i] ^= 1
		all, err := read(context.Background(), changed, k)
		if err != nil {
			continue // most of them
		}
		if got, err := marshal(all[0].Statement); err != nil || !bytes.Equal(got, want) {
			t.Errorf("byte %d: it says something else, and is believed", i)
		}
	}
}

// TestArtefacts has artefacts that are not as stated.
func TestArtefacts(t *testing.T) {
	dir := t.TempDir()
	file := states(t, built(t, dir), filepath.Join(dir, "a"), "")
	all, err := Read(t.Context(), file, nil)
	check(t, err)
	deb := filepath.Join(dir, "hello_2.10-3_amd64.deb")
	write(t, deb, []byte("hello_2.10-3_amd64.dEb"))
	check(t, os.Remove(filepath.Join(dir, "hello_2.10-3_amd64.changes")))
	for _, c := range []struct {
		files []string
		want  string
	}{
		{nil, "missing changed"}, {[]string{deb}, "changed"},
		{[]string{write(t, filepath.Join(dir, "x.deb"), nil)}, "unnamed"},
	} {
		got, err := Compare(all, c.files, dir)
		check(t, err)
		var states []string
		for _, a := range got {
			states = append(states, a.State)
		}
		if strings.Join(states, " ") != c.want {
			t.Errorf("%v: %v, want %s", c.files, states, c.want)
		}
	}
	if _, err := Compare(all, []string{dir + "/"}, dir); err != nil {
		t.Errorf("a directory: %v", err)
	}
}

// TestKeys has files of keys that are not taken, and one that openssl has written.
func TestKeys(t *testing.T) {
	dir := t.TempDir()
	private := ec(t, elliptic.P256())
	sec1, err := x509.MarshalECPrivateKey(private)
	check(t, err)
	key, pub := pair(t, dir, private)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	rsaPrivate, rsaPublic := pair(t, dir, rsaKey)
	short, _ := pair(t, dir, ec(t, elliptic.P224()))
	block := func(kind string, body []byte, headers map[string]string) string {
		name := strings.ReplaceAll(kind, " ", "-") + fmt.Sprint(len(headers))
		return write(t, filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{
			Type: kind, Bytes: body, Headers: headers}))
	}
	for name, c := range map[string]struct {
		private, public, says string
	}{
		"RSA": {rsaPrivate, rsaPublic, "RSA"},
		"PKCS #1": {private: block("RSA PRIVATE KEY",
			x509.MarshalPKCS1PrivateKey(rsaKey), nil), says: "RSA"},
		"encrypted": {private: block("ENCRYPTED PRIVATE KEY", sec1, nil), says: "encrypted"},
		"old": {private: block("EC PRIVATE KEY", sec1,
			map[string]string{"Proc-Type": "4,ENCRYPTED"}), says: "encrypted"},
		"P-224":       {private: short, says: "P-224"},
		"halves":      {pub, key, "key"},
		"certificate": {public: block("CERTIFICATE", sec1, nil), says: `"CERTIFICATE"`},
		"no key":      {private: write(t, filepath.Join(dir, "none"), []byte("x")), says: "no key in PEM"},
		"garbage":     {private: block("PRIVATE KEY", []byte("x"), nil), says: "asn1"},
		"missing":     {private: filepath.Join(dir, "nowhere"), says: "no such file"},
		"a directory": {private: dir, says: "directory"},
		"not a key":   {public: block("EC PARAMETERS", sec1, nil), says: "no key in PEM"},
		"a larger one": {public: write(t, filepath.Join(dir, "large"),
			make([]byte, maxKey+1)), says: "larger"},
	} {
		if c.private != "" {
			if _, err := ReadPrivate(c.private); err == nil ||
				!strings.Contains(err.Error(), c.says) || fault.KindOf(err) != fault.Usage {
				t.Errorf("%s: %v", name, err)
			}
		}
		if c.public != "" {
			if _, err := ReadPublic(c.public); err == nil ||
				!strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 1, 1}}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})...)
	one, err := ReadPrivate(write(t, filepath.Join(dir, "openssl"), text))
	check(t, err)
	if same, err := ReadPublic(pub); err != nil || same.ID != one.ID {
		t.Errorf("the halves have the IDs %s and %s: %v", one.ID, same.ID, err)
	}
}

// TestRebuilt: that a rebuild has made the same is stated where it has.
func TestRebuilt(t *testing.T) {
	dir := t.TempDir()
	r := built(t, dir)
	info := write(t, filepath.Join(dir, "hello.buildinfo"), []byte("x"))
	for _, identical := range []bool{true, false} {
		all, err := maker().OfRebuild(Rebuild{Buildinfo: info, Verdict: "identical", Result: r,
			Same: []string{"hello_2.10-3_amd64.deb"}}, identical)
		check(t, err)
		file := filepath.Join(dir, "a")
		check(t, Write(t.Context(), file, all, nil))
		read, err := Read(t.Context(), file, nil)
		check(t, err)
		var kinds []string
		for _, v := range read {
			kinds = append(kinds, fmt.Sprint(v.Kind, " ", v.Source, " ", len(v.Subject)))
		}
		want := []string{RebuildType + " hello 1:2.10-3 1", EqualsType + " hello 1:2.10-3 1"}
		if !identical {
			want = want[:1]
		}
		if diff := cmp.Diff(want, kinds); diff != "" {
			t.Error(diff)
		}
	}
}

// TestNotStated: nothing is stated of a build of which something is not known.
func TestNotStated(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*result.Result)
		says   string
	}{
		"a package without a hash": {func(r *result.Result) {
			r.Inputs.Dependencies[0].SHA256 = ""
		}, "gcc-12 12"},
		"no root": {func(r *result.Result) { r.Inputs.Base.Packages = nil }, "what the root"},
		"no source": {func(r *result.Result) {
			r.Source.DSC, r.Source.Files = nil, nil
		}, "has no hash"},
		"an artefact that was changed": {func(r *result.Result) {
			r.Artefacts[0].SHA256 = strings.Repeat("0", 64)
		}, "not what was built any more"},
	} {
		r := built(t, t.TempDir())
		c.change(r)
		if _, err := maker().Of(r); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, id := range []string{"", "x", "https://a b", ":"} {
		if err := CheckBuilder(id); fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// FuzzRead looks for files that end the program.
func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	key, pub := pair(f, dir, ed(f))
	text, err := os.ReadFile(states(f, built(f, dir), filepath.Join(dir, "a"), key))
	check(f, err)
	k, err := ReadPublic(pub)
	check(f, err)
	f.Add(text)
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"x"}]}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		_, _ = read(context.Background(), text, k)
		_, _ = read(context.Background(), text, nil)
		_, _ = parseKey(text, true)
	})
}
