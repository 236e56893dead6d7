package fakedebian

import (
	"bytes"
	"crypto"
	_ "crypto/sha1" // what old archives are signed with
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// signature makes one signature packet. It is put together here, not by the library's own signing
// functions, because those refuse what old archives have.
func (k *Key) signature(t testing.TB, kind packet.SignatureType, message []byte,
	when time.Time) []byte {
	t.Helper()
	if when.Before(k.entity.PrimaryKey.CreationTime) {
		when = k.entity.PrimaryKey.CreationTime
	}
	salted := false
	c := &packet.Config{Time: func() time.Time { return when },
		NonDeterministicSignaturesViaNotation: &salted}
	public := k.entity.PrimaryKey
	sig := &packet.Signature{
		Version: public.Version, SigType: kind, PubKeyAlgo: public.PubKeyAlgo, Hash: k.hash,
		CreationTime: when,
		IssuerKeyId:  &public.KeyId, IssuerKeyVersion: uint8(public.Version),
		IssuerFingerprint: public.Fingerprint,
	}
	h, err := sig.PrepareSign(c)
	if err != nil {
		t.Fatalf("signing with the %s key: %v", k.Kind, err)
	}
	h.Write(message)
	if err := sig.Sign(h, k.entity.PrivateKey, c); err != nil {
		t.Fatalf("signing with the %s key: %v", k.Kind, err)
	}
	var b bytes.Buffer
	if err := sig.Serialize(&b); err != nil {
		t.Fatalf("signing with the %s key: %v", k.Kind, err)
	}
	return b.Bytes()
}

// Detached signs a message with each key, as Release.gpg does: one armored block that holds all
// signatures.
func Detached(t testing.TB, message []byte, when time.Time, signers ...*Key) []byte {
	t.Helper()
	var b []byte
	for _, k := range signers {
		b = append(b, k.signature(t, packet.SigTypeBinary, message, when)...)
	}
	return armored(t, openpgp.SignatureType, b)
}

// Clearsigned signs a text with each key, as InRelease and .dsc files are (RFC 9580, section 7).
func Clearsigned(t testing.TB, text string, when time.Time, signers ...*Key) []byte {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	var escaped strings.Builder
	for i, l := range lines {
		if strings.HasPrefix(l, "-") {
			escaped.WriteString("- ")
		}
		escaped.WriteString(l + "\n")
		// White space at a line's end is not signed, and lines are signed as if they ended in CR
		// LF.
		lines[i] = strings.TrimRight(l, " \t\r")
	}
	message := []byte(strings.Join(lines, "\r\n"))
	var b []byte
	var hashes []string
	for _, k := range signers {
		b = append(b, k.signature(t, packet.SigTypeText, message, when)...)
		hashes = append(hashes, hashName(k.hash))
	}
	return []byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: " + strings.Join(hashes, ",") +
		"\n\n" + escaped.String() +
		string(armored(t, openpgp.SignatureType, b)))
}

func hashName(h crypto.Hash) string { return strings.ReplaceAll(h.String(), "-", "") }
