// Package signature verifies OpenPGP signatures of Release files, and reads the keys that they may
// be by.
//
// It knows neither files nor suites: which keyrings count for a repository, and what an old suite
// is allowed, its callers say.
package signature

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"nsbuild/internal/archive/failure"
)

const clearsignBegin = "-----BEGIN PGP SIGNED MESSAGE-----"

// SplitClearsigned takes an InRelease file apart: the text as it is read, the text as it was signed
// (canonical line ends), and the binary signature packets. Anything before or after the signed
// message is refused, as apt refuses it: such text is not covered by the signature.
func SplitClearsigned(data []byte) (text, signed, sig []byte, err error) {
	if !bytes.HasPrefix(data, []byte(clearsignBegin)) {
		if bytes.Contains(data, []byte("\n"+clearsignBegin)) {
			return nil, nil, nil, fmt.Errorf("%w: there is text before the signed message",
				failure.ErrBadSignature)
		}
		return nil, nil, nil, fmt.Errorf("%w: it is not a clear-signed message",
			failure.ErrNoSignature)
	}
	block, rest := clearsign.Decode(data)
	if block == nil {
		return nil, nil, nil, fmt.Errorf("%w: the signed message is cut or malformed",
			failure.ErrBadSignature)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, nil, nil, fmt.Errorf("%w: there is text after the signed message",
			failure.ErrBadSignature)
	}
	if block.ArmoredSignature.Type != openpgp.SignatureType {
		return nil, nil, nil, fmt.Errorf("%w: %s where the signature should be",
			failure.ErrBadSignature, block.ArmoredSignature.Type)
	}
	if sig, err = io.ReadAll(block.ArmoredSignature.Body); err != nil {
		return nil, nil, nil, fmt.Errorf("%w: armor: %w", failure.ErrBadSignature, err)
	}
	return append(block.Plaintext, '\n'), block.Bytes, sig, nil
}

// Leniency is what a signature may be that would not count for a suite that is still made.
type Leniency struct {
	WeakKeys    bool // DSA, 1024 bits, SHA-1 self-signatures, and keys without usage flags
	ExpiredKeys bool // keys that have expired since
}

// Verify checks that one of the signatures in sig (binary packets) over signed is good and by a key
// of the ring that is valid now. It returns the fingerprints of the keys whose signatures are. A
// signature may be dated ahead of now by as much as skew. The zero time leaves out every comparison
// with the clock.
func (k *Keyring) Verify(signed, sig []byte, now time.Time, skew time.Duration, allow Leniency) (
	[]string, error) {
	latest := now
	if !now.IsZero() {
		latest = now.Add(skew)
	}
	config := packetConfig(latest, allow)
	md, err := openpgp.VerifyDetachedSignatureReader(unjudged(k.EntityList),
		bytes.NewReader(signed), bytes.NewReader(sig), config)
	// what the library says when there is no signature packet at all
	if errors.Is(err, pgperrors.ErrUnknownIssuer) {
		return nil, fmt.Errorf("%w: no signature packet", failure.ErrBadSignature)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", failure.ErrBadSignature, err)
	}
	if _, err := io.Copy(io.Discard, md.UnverifiedBody); err != nil {
		return nil, fmt.Errorf("%w: %w", failure.ErrBadSignature, err)
	}
	var signers []string
	var failures []error // of known keys
	var unknown []string
	for _, c := range md.SignatureCandidates {
		id := candidateID(c)
		switch {
		case c.SignedByEntity == nil:
			unknown = append(unknown, id)
		case c.SignatureError != nil || c.SignedBy == nil:
			failures = append(failures,
				fmt.Errorf("key %s: %w", id, signatureError(c, latest, config)))
		default:
			if err := keyValid(c.SignedBy, now, config, allow); err != nil {
				failures = append(failures, fmt.Errorf("key %s: %w", id, err))
				continue
			}
			signers = append(signers, fmt.Sprintf("%X", c.SignedBy.PublicKey.Fingerprint))
		}
	}
	switch {
	case len(signers) > 0:
		return signers, nil
	case len(failures) > 0:
		return nil, worst(failures)
	}
	return nil, fmt.Errorf("%w: %s, searched in %s", failure.ErrUnknownKey,
		strings.Join(unknown, ", "), k)
}

// packetConfig narrows what the library accepts: no MD5, SHA-1 or RIPEMD-160 over the text, no MD5
// within keys, RSA of 2048 bits, no DSA; what is allowed widens it again.
func packetConfig(now time.Time, allow Leniency) *packet.Config {
	config := &packet.Config{
		Time:       func() time.Time { return now },
		MinRSABits: 2047, // a 2048-bit modulus may have a leading zero bit
		RejectPublicKeyAlgorithms: map[packet.PublicKeyAlgorithm]bool{
			packet.PubKeyAlgoElGamal: true, packet.PubKeyAlgoDSA: true},
		RejectHashAlgorithms: map[crypto.Hash]bool{crypto.MD5: true, crypto.RIPEMD160: true},
		RejectMessageHashAlgorithms: map[crypto.Hash]bool{crypto.MD5: true, crypto.RIPEMD160: true,
			crypto.SHA1: true},
	}
	if allow.WeakKeys {
		config.MinRSABits = 1023
		config.RejectPublicKeyAlgorithms = map[packet.PublicKeyAlgorithm]bool{
			packet.PubKeyAlgoElGamal: true}
		config.RejectMessageHashAlgorithms = map[crypto.Hash]bool{crypto.MD5: true}
		config.InsecureAllowAllKeyFlagsWhenMissing = true
	}
	return config
}

// keyValid tells whether the key that made a good signature is still one to rely on now, not only
// when it signed: apt refuses what an expired or revoked key signed.
func keyValid(key *openpgp.Key, now time.Time, config *packet.Config, allow Leniency) error {
	if now.IsZero() || allow.ExpiredKeys {
		return nil
	}
	if _, err := key.Entity.VerifyPrimaryKey(now, config); err != nil {
		return fmt.Errorf("%w: %w", failure.ErrKeyExpired, err)
	}
	for i := range key.Entity.Subkeys {
		s := &key.Entity.Subkeys[i]
		if !bytes.Equal(s.PublicKey.Fingerprint, key.PublicKey.Fingerprint) {
			continue
		}
		if _, err := s.Verify(now, config); err != nil {
			return fmt.Errorf("%w: %w", failure.ErrKeyExpired, err)
		}
	}
	return nil
}

// worst picks the error to show: a signature that is not over this text comes before one whose key
// is merely too old.
func worst(failures []error) error {
	for _, err := range failures {
		if errors.Is(err, failure.ErrBadSignature) {
			return err
		}
	}
	return failures[0]
}

// signatureError puts the library's errors into ours.
func signatureError(c *openpgp.SignatureCandidate, latest time.Time, config *packet.Config) error {
	err := c.SignatureError
	switch {
	case err == nil:
		return failure.ErrBadSignature
	case errors.Is(err, pgperrors.ErrSignatureExpired) && c.CorrespondingSig != nil &&
		c.CorrespondingSig.CreationTime.After(latest):
		return failure.Future(c.CorrespondingSig.CreationTime, latest)
	case errors.Is(err, pgperrors.ErrKeyExpired), errors.Is(err, pgperrors.ErrKeyRevoked),
		errors.Is(err, pgperrors.ErrSignatureExpired):
		return fmt.Errorf("%w: %w", failure.ErrKeyExpired, err)
	}
	if weak := pgperrors.WeakAlgorithmError(""); errors.As(err, &weak) {
		return tooWeak("its key is of a kind that is too weak to count (%s)",
			strings.TrimFunc(string(weak), func(r rune) bool { return r <= ' ' }))
	}
	if config.RejectMessageHashAlgorithm(c.HashAlgorithm) {
		return tooWeak("it relies on %s, which is too weak to count", c.HashAlgorithm)
	}
	return fmt.Errorf("%w: %w", failure.ErrBadSignature, err)
}

// tooWeak is a signature that nobody altered, but that anybody might have made.
func tooWeak(format string, args ...any) error {
	return failure.New("use a mirror that signs with a newer key and hash; old suites whose table "+
		"entry says so are accepted as they are (docs/suites.md)", "%w: "+format,
		append([]any{failure.ErrBadSignature}, args...)...)
}

// candidateID names the key a signature says it is by: its fingerprint, or the long key id where
// the signature has only that.
func candidateID(c *openpgp.SignatureCandidate) string {
	if len(c.IssuerFingerprint) > 0 {
		return fmt.Sprintf("%X", c.IssuerFingerprint)
	}
	return fmt.Sprintf("%016X", c.IssuerKeyId)
}
