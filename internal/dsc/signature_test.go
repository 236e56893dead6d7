package dsc_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
)

// text is a minimal .dsc; its last field begins with a dash where it is signed, which armour
// escapes.
const text = `Format: 1.0
Source: hello
Version: 1.0
Architecture: any
Maintainer: A B <a@example.org>
Files:
 0cc175b9c0f1b6a831c399e269772661 1 hello_1.0.tar.gz
`

var signed = time.Date(2023, 4, 5, 6, 7, 8, 0, time.UTC)

// parse reads a document with the keys of a keyring file, or none.
func parse(doc []byte, keyrings ...string) (*dsc.Source, error) {
	return dsc.Parse("hello_1.0.dsc", bytes.NewReader(doc), keyrings)
}

func TestSignatureStates(t *testing.T) {
	developer := fakedebian.KeyOf(t, fakedebian.KeyDeveloper)
	keyring := fakedebian.Keyring(t, fakedebian.KeyArchive, fakedebian.KeyDeveloper,
		fakedebian.KeySecond)
	other := fakedebian.Keyring(t, fakedebian.KeyOther)
	for _, tt := range []struct {
		name    string
		doc     []byte
		keyring string
		want    dsc.SignatureState
		note    string
	}{
		{"unsigned", []byte(text), keyring, dsc.Unsigned, ""},
		{"good", fakedebian.Clearsigned(t, text, signed, developer), keyring, dsc.Good, ""},
		{"white space around",
			append([]byte("\n \n"), append(fakedebian.Clearsigned(t, text, signed, developer),
				"\n\n"...)...), keyring, dsc.Good, ""},
		{"CR LF", bytes.ReplaceAll(fakedebian.Clearsigned(t, text, signed, developer), []byte("\n"),
			[]byte("\r\n")), keyring, dsc.Good, ""},
		{"RSA", fakedebian.Clearsigned(t, text, signed, fakedebian.KeyOf(t, fakedebian.KeyRSA)),
			fakedebian.Keyring(t, fakedebian.KeyRSA), dsc.Good, ""},
		{"unknown key", fakedebian.Clearsigned(t, text, signed, developer), other, dsc.UnknownKey,
			""},
		{"no keyring", fakedebian.Clearsigned(t, text, signed, developer), "", dsc.UnknownKey, ""},
		{"two, one known",
			fakedebian.Clearsigned(t, text, signed, fakedebian.KeyOf(t, fakedebian.KeyOther),
				developer), keyring, dsc.Good, ""},
		{"expired long ago",
			fakedebian.Clearsigned(t, text, signed, fakedebian.KeyOf(t, fakedebian.KeyExpired)),
			fakedebian.Keyring(t, fakedebian.KeyExpired), dsc.Doubtful, "expired"},
		{"revoked",
			fakedebian.Clearsigned(t, text, signed, fakedebian.KeyOf(t, fakedebian.KeyRevoked)),
			fakedebian.Keyring(t, fakedebian.KeyRevoked), dsc.Doubtful, "revoked"},
		{"weak RSA",
			fakedebian.Clearsigned(t, text, signed, fakedebian.KeyOf(t, fakedebian.KeyWeakRSA)),
			fakedebian.Keyring(t, fakedebian.KeyWeakRSA), dsc.Doubtful, ""},
		{"weak DSA",
			fakedebian.Clearsigned(t, text, signed, fakedebian.KeyOf(t, fakedebian.KeyWeakDSA)),
			fakedebian.Keyring(t, fakedebian.KeyWeakDSA), dsc.Doubtful, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var keyrings []string
			if tt.keyring != "" {
				keyrings = []string{tt.keyring}
			}
			s, err := parse(tt.doc, keyrings...)
			if err != nil {
				t.Fatal(err)
			}
			if s.Signature.State != tt.want || !strings.Contains(s.Signature.Note, tt.note) {
				t.Errorf("%v: %s", s.Signature.State, s.Signature)
			}
			if s.Name != "hello" {
				t.Errorf("Source is %q", s.Name)
			}
			if tt.want == dsc.Good &&
				(s.Signature.Signer == "" || !s.Signature.Made.Equal(signed)) {
				t.Errorf("signer %q, made %v", s.Signature.Signer, s.Signature.Made)
			}
			if (tt.want == dsc.Doubtful) == (s.Signature.Note == "") {
				t.Errorf("note %q", s.Signature.Note)
			}
		})
	}
}

func TestSignatureErrors(t *testing.T) {
	developer := fakedebian.KeyOf(t, fakedebian.KeyDeveloper)
	keyring := fakedebian.Keyring(t, fakedebian.KeyDeveloper)
	good := string(fakedebian.Clearsigned(t, text, signed, developer))
	for _, tt := range []struct{ name, doc, want string }{
		{"a byte changed", strings.Replace(good, "Source: hello", "Source: hallo", 1),
			"hello_1.0.dsc: BAD signature: the text was changed after"},
		{"text before", "Source: evil\n" + good,
			"hello_1.0.dsc: has a PGP signature, but text before it that is not signed"},
		{"a paragraph before", "Source: evil\n\n" + good, "text before it that is not signed"},
		{"text after", good + "Source: evil\n",
			"hello_1.0.dsc: has text after its PGP signature that is not signed"},
		{"a second message after", good + good,
			"has text after its PGP signature that is not signed"},
		{"cut", good[:len(good)-60], "its PGP signature is cut short or malformed"},
		{"no signature", good[:strings.Index(good, "-----BEGIN PGP SIGNATURE")],
			"its PGP signature is cut short or malformed"},
		{"garbage in the armour", good[:strings.Index(good, "-----BEGIN PGP SIGNATURE")] +
			"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n",
			"its PGP signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parse([]byte(tt.doc), keyring)
			if err == nil {
				t.Fatalf("taken as %+v, %s", s, s.Signature)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v\nwant …%s", err, tt.want)
			}
			if fault.KindOf(err) != fault.GivenBack || fault.HintOf(err) == "" {
				t.Errorf("kind %v, hint %q", fault.KindOf(err), fault.HintOf(err))
			}
		})
	}
}

// One of two signatures that does not fit is enough to refuse the document.
func TestSecondSignatureBad(t *testing.T) {
	keyring := fakedebian.Keyring(t, fakedebian.KeyDeveloper, fakedebian.KeySecond)
	one := string(
		fakedebian.Clearsigned(t, text, signed, fakedebian.KeyOf(t, fakedebian.KeyDeveloper)))
	two := string(
		fakedebian.Clearsigned(t, text+"X: y\n", signed, fakedebian.KeyOf(t, fakedebian.KeySecond)))
	mixed := one[:strings.Index(one, "-----BEGIN PGP SIGNATURE")] +
		two[strings.Index(two, "-----BEGIN PGP SIGNATURE"):]
	if _, err := parse([]byte(mixed), keyring); err == nil ||
		!strings.Contains(err.Error(), "BAD signature") {
		t.Error(err)
	}
}

// Lines are counted in the whole document, armour included.
func TestLinesOfSignedText(t *testing.T) {
	doc := fakedebian.Clearsigned(t, strings.Replace(text, "Version: 1.0", "Version: x", 1), signed,
		fakedebian.KeyOf(t, fakedebian.KeyDeveloper))
	_, err := parse(doc)
	if err == nil || !strings.Contains(err.Error(), "hello_1.0.dsc:6: field Version") {
		t.Error(err)
	}
}

func TestKeyringForms(t *testing.T) {
	developer := fakedebian.KeyOf(t, fakedebian.KeyDeveloper)
	doc := fakedebian.Clearsigned(t, text, signed, developer)
	dir := t.TempDir()
	write := func(name string, parts ...[]byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, bytes.Join(parts, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	public, other := developer.Public(t), fakedebian.KeyOf(t, fakedebian.KeyOther).Public(t)
	for _, tt := range []struct {
		name string
		path string
		want dsc.SignatureState
	}{
		{"binary", write("a.gpg", other, public), dsc.Good},
		{"armoured", write("a.asc", fakedebian.KeyOf(t, fakedebian.KeyOther).Armored(t),
			[]byte("\n"), developer.Armored(t)), dsc.Good},
		{"keybox", write("a.kbx", keyboxHeader(), keyboxBlob(other), keyboxBlob(public)), dsc.Good},
		{"keybox without it", write("b.kbx", keyboxHeader(), keyboxBlob(other)), dsc.UnknownKey},
		{"empty", write("empty.gpg"), dsc.UnknownKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parse(doc, tt.path)
			if err != nil {
				t.Fatal(err)
			}
			if s.Signature.State != tt.want {
				t.Error(s.Signature)
			}
		})
	}
	for _, tt := range []struct{ name, path, want string }{
		{"text", write("text.gpg", []byte("not a key")), "not OpenPGP data"},
		{"cut", write("cut.gpg", public[:len(public)-5]), "cut short"},
		{"keybox cut", write("cut.kbx", keyboxHeader(), keyboxBlob(public)[:40]),
			"keybox: unexpected EOF"},
		{"keybox lies",
			write("lie.kbx", keyboxHeader(),
				append([]byte{0, 0, 0, 16, 2, 1, 0, 0, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff}, 0)),
			"a key reaches beyond its blob"},
		{"missing", filepath.Join(dir, "none.gpg"), "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parse(doc, tt.path); err == nil ||
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want …%s", err, tt.want)
			}
		})
	}
}

// keyboxHeader is the first blob of a keybox: type 1.
func keyboxHeader() []byte {
	b := make([]byte, 32)
	binary.BigEndian.PutUint32(b, 32)
	b[4], b[5] = 1, 1
	copy(b[8:], "KBXf")
	return b
}

// keyboxBlob is an OpenPGP blob with a certificate.
func keyboxBlob(cert []byte) []byte {
	const at = 36
	b := make([]byte, at+len(cert)+20)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	b[4], b[5] = 2, 1
	binary.BigEndian.PutUint32(b[8:], at)
	binary.BigEndian.PutUint32(b[12:], uint32(len(cert)))
	copy(b[at:], cert)
	return b
}

func TestHostKeyrings(t *testing.T) {
	root, home := t.TempDir(), t.TempDir()
	if got := dsc.HostKeyrings(root, home); len(got) != 0 {
		t.Error(got)
	}
	want := []string{filepath.Join(root, "usr/share/keyrings/debian-keyring.gpg"),
		filepath.Join(home, ".gnupg/pubring.kbx")}
	for _, path := range want {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := dsc.HostKeyrings(root, home); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%v, want %v", got, want)
	}
}

// FuzzSigned: however a signed source description is changed, it is good only with the very text
// that was signed.
func FuzzSigned(f *testing.F) {
	keyring := fakedebian.Keyring(f, fakedebian.KeyDeveloper)
	good := fakedebian.Clearsigned(f, text, signed, fakedebian.KeyOf(f, fakedebian.KeyDeveloper))
	want, err := parse(good, keyring)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")))
	f.Add(fakedebian.Clearsigned(f, text, signed, fakedebian.KeyOf(f, fakedebian.KeyOther),
		fakedebian.KeyOf(f, fakedebian.KeyDeveloper)))
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := parse(doc, keyring)
		if err != nil || got.Signature.State != dsc.Good {
			return
		}
		if got.Name != want.Name || got.Version != want.Version || len(got.Files) != 1 ||
			got.Files[0].Name != want.Files[0].Name || got.Files[0].MD5 != want.Files[0].MD5 {
			t.Errorf("good: %+v", got)
		}
	})
}
