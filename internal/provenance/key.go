package provenance

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/signerverifier"

	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// maxKey bounds the file of a key, in bytes.
const maxKey = 64 << 10

// Key signs statements, or checks who has signed them.
type Key struct {
	dsse.SignerVerifier
	ID string
}

// ReadPrivate reads the key that signs: Ed25519 or ECDSA, PEM, PKCS#8 or SEC 1.
func ReadPrivate(file string) (*Key, error) {
	return readKey(file, "--provenance-key", true)
}

// ReadPublic reads the key of whoever has signed: Ed25519 or ECDSA, PEM, PKIX.
func ReadPublic(file string) (*Key, error) { return readKey(file, "--key", false) }

func readKey(file, flag string, private bool) (*Key, error) {
	text, err := regular.ReadFile(file, maxKey)
	if err == nil {
		var k *Key
		if k, err = parseKey(text, private); err == nil {
			return k, nil
		}
	}
	hint := "make one with: openssl genpkey -algorithm ed25519 -out key.pem"
	if !private {
		hint = "make one with: openssl pkey -in key.pem -pubout -out key.pub"
	}
	return nil, fault.Wrap(fault.Usage, hint, fmt.Errorf("%s %s: %w", flag, file, err))
}

func parseKey(text []byte, private bool) (*Key, error) {
	block, parsed, err := decodeKey(text)
	if err != nil {
		return nil, err
	}
	var isPrivate, isECDSA bool
	switch k := parsed.(type) {
	case ed25519.PrivateKey:
		isPrivate = true
	case ed25519.PublicKey:
	case *ecdsa.PrivateKey:
		isPrivate, isECDSA = true, true
		err = checkCurve(k.Curve)
	case *ecdsa.PublicKey:
		isECDSA = true
		err = checkCurve(k.Curve)
	case *rsa.PrivateKey, *rsa.PublicKey:
		err = errors.New("it is an RSA key; Ed25519 and ECDSA keys are taken")
	default:
		err = errors.New("it is no Ed25519 or ECDSA key")
	}
	switch {
	case err != nil:
		return nil, err
	case private && !isPrivate:
		return nil, errors.New("it is a public key, which cannot sign")
	case !private && isPrivate:
		return nil, errors.New("it is a private key; the public one belongs here")
	}
	loaded, err := signerverifier.LoadKey(pem.EncodeToMemory(block))
	if err != nil {
		return nil, err
	}
	if isECDSA {
		s, err := signerverifier.NewECDSASignerVerifierFromSSLibKey(loaded)
		return &Key{s, loaded.KeyID}, err
	}
	s, err := signerverifier.NewED25519SignerVerifierFromSSLibKey(loaded)
	return &Key{s, loaded.KeyID}, err
}

func checkCurve(c elliptic.Curve) error {
	switch c {
	case elliptic.P256(), elliptic.P384(), elliptic.P521():
		return nil
	}
	return fmt.Errorf("its curve is %s; P-256, P-384 and P-521 are taken", c.Params().Name)
}

// decodeKey finds the one key of a PEM file. What openssl writes before it (EC PARAMETERS) is none.
func decodeKey(text []byte) (*pem.Block, any, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, nil, errors.New("it has no key in PEM form")
		}
		switch {
		case block.Type == "EC PARAMETERS":
			continue
		case strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"),
			block.Type == "ENCRYPTED PRIVATE KEY":
			return nil, nil, errors.New("it is encrypted; nsbuild asks for no passphrase")
		}
		block.Headers = nil
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "PUBLIC KEY":
			key, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "RSA PUBLIC KEY":
			key, err = x509.ParsePKCS1PublicKey(block.Bytes)
		default:
			err = fmt.Errorf("it is of the kind %q", block.Type)
		}
		return block, key, err
	}
}
