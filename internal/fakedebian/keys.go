package fakedebian

import (
	"bytes"
	"crypto"
	"crypto/dsa" //nolint:staticcheck // squeeze's archives were signed with such keys
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// KeyKind names one of the keys that a test process has. A kind is made once for each process, when
// it is first asked for.
type KeyKind string

const (
	// KeyArchive signs archives unless told otherwise: Ed25519, valid.
	KeyArchive KeyKind = "archive"
	// KeySecond is a second valid archive key, for two signatures and for rollovers.
	KeySecond KeyKind = "second"
	// KeyRSA is a valid RSA key of 3072 bits, the algorithm of the real archives. It takes most of
	// a second to make.
	KeyRSA KeyKind = "rsa"
	// KeyOther is a valid key that no keyring of a test should hold.
	KeyOther KeyKind = "other"
	// KeyDeveloper signs source packages.
	KeyDeveloper KeyKind = "developer"
	// KeyExpired is an RSA key of 2048 bits made in 2006, self-signed with SHA-1, that expired in
	// 2014, as squeeze's did.
	KeyExpired KeyKind = "expired"
	// KeyPast is as strong as KeyArchive, and expired three years after it was made.
	KeyPast KeyKind = "past"
	// KeyRevoked is a key that its owner revoked after it signed.
	KeyRevoked KeyKind = "revoked"
	// KeyWeakRSA is an RSA key of 1024 bits that signs with SHA-1.
	KeyWeakRSA KeyKind = "weak RSA"
	// KeySHA1 is a valid RSA key of 2048 bits that signs with SHA-1.
	KeySHA1 KeyKind = "SHA-1"
	// KeyWeakDSA is a DSA key of 1024 bits that signs with SHA-1, as lenny's and older.
	KeyWeakDSA KeyKind = "weak DSA"
)

// Key is an OpenPGP key pair.
type Key struct {
	Kind   KeyKind
	entity *openpgp.Entity
	hash   crypto.Hash // what it signs messages with
}

// born is when most keys were made.
var born = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// keys caches what KeyOf made: making keys is the slowest part of a fake archive, and tests that
// use the same ones need to agree on them.
var keys struct {
	sync.Mutex
	made map[KeyKind]*Key
}

// KeyOf returns the process's key of a kind.
func KeyOf(t testing.TB, kind KeyKind) *Key {
	t.Helper()
	keys.Lock()
	defer keys.Unlock()
	if k := keys.made[kind]; k != nil {
		return k
	}
	k, err := makeKey(kind)
	if err != nil {
		t.Fatalf("making the %s key: %v", kind, err)
	}
	if keys.made == nil {
		keys.made = map[KeyKind]*Key{}
	}
	keys.made[kind] = k
	return k
}

func makeKey(kind KeyKind) (*Key, error) {
	made := born
	salted := false
	c := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA512,
		NonDeterministicSignaturesViaNotation: &salted}
	switch kind {
	case KeyRSA:
		c.Algorithm, c.RSABits = packet.PubKeyAlgoRSA, 3072
	case KeyExpired:
		made = time.Date(2006, 1, 1, 0, 0, 0, 0, time.UTC)
		c.Algorithm, c.RSABits, c.DefaultHash = packet.PubKeyAlgoRSA, 2048, crypto.SHA1
		c.KeyLifetimeSecs = 8 * 365 * 24 * 3600
	case KeyPast:
		c.KeyLifetimeSecs = 3 * 365 * 24 * 3600
	case KeyWeakRSA:
		c.Algorithm, c.RSABits, c.DefaultHash = packet.PubKeyAlgoRSA, 1024, crypto.SHA1
	case KeySHA1:
		c.Algorithm, c.RSABits, c.DefaultHash = packet.PubKeyAlgoRSA, 2048, crypto.SHA1
	case KeyWeakDSA:
		made = time.Date(2006, 1, 1, 0, 0, 0, 0, time.UTC)
		c.DefaultHash = crypto.SHA1
	}
	c.Time = func() time.Time { return made }
	k := &Key{Kind: kind, hash: c.DefaultHash}
	if k.hash == crypto.SHA1 {
		// the library makes no key that prefers SHA-1; selfSign sees to it
		c.DefaultHash = crypto.SHA256
	}
	name := fmt.Sprintf("Test key %s", kind)
	if kind == KeyWeakDSA {
		if err := k.makeDSA(name, c); err != nil {
			return nil, err
		}
		return k, k.selfSign(c)
	}
	var err error
	if k.entity, err = openpgp.NewEntity(name, "", "archive@mirror.example", c); err != nil {
		return nil, err
	}
	// An archive key only signs.
	k.entity.Subkeys = nil
	if kind == KeyRevoked {
		c.Time = func() time.Time { return made.AddDate(1, 0, 0) }
		err = k.entity.RevokeKey(packet.KeyCompromised, "the laptop was stolen", c)
	}
	if err != nil {
		return nil, err
	}
	return k, k.selfSign(c)
}

// selfSign signs the key's name again with the hash that the key uses.
func (k *Key) selfSign(c *packet.Config) error {
	for _, id := range k.entity.Identities {
		id.SelfSignature.Hash = k.hash
		if err := id.SelfSignature.SignUserId(id.UserId.Id, k.entity.PrimaryKey,
			k.entity.PrivateKey, c); err != nil {
			return err
		}
	}
	return nil
}

func (k *Key) makeDSA(name string, c *packet.Config) error {
	var private dsa.PrivateKey
	if err := dsa.GenerateParameters(&private.Parameters, rand.Reader, dsa.L1024N160); err != nil {
		return err
	}
	if err := dsa.GenerateKey(&private, rand.Reader); err != nil {
		return err
	}
	primary := packet.NewDSAPrivateKey(c.Now(), &private)
	k.entity = &openpgp.Entity{PrimaryKey: &primary.PublicKey, PrivateKey: primary,
		Identities: map[string]*openpgp.Identity{}}
	return k.entity.AddUserId(name, "", "archive@mirror.example", c)
}

// Fingerprint is the key's fingerprint in upper-case hexadecimal.
func (k *Key) Fingerprint() string { return fmt.Sprintf("%X", k.entity.PrimaryKey.Fingerprint) }

// Public is the public key as a binary keyring, the form of /usr/share/keyrings/*.gpg. Several of
// these, one after the other, are a keyring too.
func (k *Key) Public(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := k.entity.Serialize(&b); err != nil {
		t.Fatalf("writing the %s key: %v", k.Kind, err)
	}
	return b.Bytes()
}

// Armored is the public key in ASCII armor, the form of *.asc.
func (k *Key) Armored(t testing.TB) []byte {
	t.Helper()
	return armored(t, openpgp.PublicKeyType, k.Public(t))
}

// Keyring writes a keyring file with the public keys of these kinds into a directory of the test,
// and returns its path.
func Keyring(t testing.TB, kinds ...KeyKind) string {
	t.Helper()
	var b []byte
	for _, kind := range kinds {
		b = append(b, KeyOf(t, kind).Public(t)...)
	}
	file := filepath.Join(t.TempDir(), "keyring.gpg")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func armored(t testing.TB, blockType string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, blockType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// Certificate makes a certificate for a client of https, which signs itself, and returns it and the
// files' texts: the certificate and its key in PEM.
func Certificate(t testing.TB) (cert *x509.Certificate, certPEM, keyPEM []byte) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a client"}, NotBefore: born,
		NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{
			x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
}
