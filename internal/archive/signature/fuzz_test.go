package signature

import (
	"bytes"
	"testing"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"nsbuild/internal/fakedebian"
)

// FuzzDetached: no Release.gpg but a true one makes a text count, in armor or without, and nothing
// else comes out of it.
func FuzzDetached(f *testing.F) {
	text, when := []byte("Suite: sid\n"), time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	good := fakedebian.Detached(f, text, when, fakedebian.KeyOf(f, fakedebian.KeyArchive))
	binary, err := Dearmor(good, openpgp.SignatureType)
	if err != nil {
		f.Fatal(err)
	}
	keys, err := ReadKeys(fakedebian.KeyOf(f, fakedebian.KeyArchive).Public(f))
	if err != nil {
		f.Fatal(err)
	}
	ring := &Keyring{}
	ring.Add(keys, "test")
	f.Add(good, []byte("Suite: sid\n"))
	f.Add(binary, []byte("Suite: evil\n"))
	f.Add(bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")), []byte("Suite: sid\n"))
	f.Fuzz(func(t *testing.T, data, message []byte) {
		sig, err := Dearmor(data, openpgp.SignatureType)
		if err != nil {
			return
		}
		if signers, err := ring.Verify(message, sig, time.Time{}, 0, Leniency{}); err == nil &&
			!bytes.Equal(message, text) {
			t.Errorf("%q counts as signed by %v", message, signers)
		}
	})
}

// FuzzClearsigned: whatever is done to a signed file, only the very text that was signed comes out.
func FuzzClearsigned(f *testing.F) {
	a := fakedebian.New(f)
	a.Suite("sid").Add(fakedebian.Package{Name: "x"})
	tree := a.Tree()
	good := tree.Read("dists/sid/InRelease")
	text, _, _, err := SplitClearsigned(good)
	if err != nil {
		f.Fatal(err)
	}
	ring := &Keyring{}
	keys, err := ReadKeys(fakedebian.KeyOf(f, fakedebian.KeyArchive).Public(f))
	if err != nil {
		f.Fatal(err)
	}
	ring.Add(keys, "test")
	f.Add(good)
	f.Add(bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")))
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nx\n-----BEGIN PGP " +
		"SIGNATURE-----\n\n=aaaa\n-----END PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, signed, sig, err := SplitClearsigned(data)
		if err != nil {
			return
		}
		if _, err := ring.Verify(signed, sig, time.Now(), 0, Leniency{}); err == nil &&
			!bytes.Equal(got, text) {
			t.Errorf("verified: %q", got)
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add(fakedebian.KeyOf(f, fakedebian.KeyArchive).Public(f))
	f.Add(fakedebian.KeyOf(f, fakedebian.KeyArchive).Armored(f))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if keys, err := ReadKeys(data); err == nil {
			LastChange(keys)
		}
	})
}
