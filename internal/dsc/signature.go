package dsc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"nsbuild/internal/fault"
)

// SignatureState is what is known about a document's signature.
type SignatureState int

const (
	// Unsigned means that the document bears no signature.
	Unsigned SignatureState = iota
	// UnknownKey means that no keyring holds the key that made the signature.
	UnknownKey
	// Doubtful means that the signature fits the text and the key is known, but the key or the
	// algorithm is not good enough: expired, revoked, not for signing, weak. Note says which.
	Doubtful
	// Good means that the signature fits, by a known key that was valid when it signed.
	Good
)

var stateNames = [...]string{"unsigned", "unknown-key", "doubtful", "good"}

// String is the state's name as it stands in result.json.
func (s SignatureState) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("state %d", int(s))
	}
	return stateNames[s]
}

// MarshalText writes the state's name.
func (s SignatureState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Signature is the outcome of looking at a document's signature. A signature by a known key that
// does not fit the text is not an outcome but an error.
type Signature struct {
	State SignatureState
	// the fingerprint where the signature has it, else the long key id; upper-case hexadecimal
	KeyID  string
	Signer string    // the key's primary user id, when the key is known
	Made   time.Time // when it was signed, by its own claim
	Note   string    // why the signature is doubtful
}

// String is one line for a log.
func (s Signature) String() string {
	switch s.State {
	case Good:
		return fmt.Sprintf("good signature by %s (key %s)", s.Signer, s.KeyID)
	case Doubtful:
		return fmt.Sprintf("signature by %s (key %s) fits, but %s", s.Signer, s.KeyID, s.Note)
	case UnknownKey:
		return fmt.Sprintf("signed by key %s, which is in no keyring; not verified", s.KeyID)
	}
	return "not signed"
}

const (
	armorSigned    = "-----BEGIN PGP SIGNED MESSAGE-----"
	armorSignature = "-----BEGIN PGP SIGNATURE-----"
	armorEnd       = "-----END PGP SIGNATURE-----"
)

// openSigned looks at the signature of a document, and returns the text that it covers (the whole
// document when it has none) and the number of lines before that text.
func openSigned(name string, doc []byte, keys Keyrings) (text []byte, skip int, sig Signature,
	err error) {
	fail := func(format string, args ...any) ([]byte, int, Signature, error) {
		return nil, 0, Signature{},
			fault.Wrap(fault.GivenBack, "fetch the file again, or ask the one who signed it",
				&Error{File: name, Reason: fmt.Sprintf(format, args...)})
	}
	// Anything around the signed text would be read by some tools and not by others: only white
	// space may stand there.
	trimmed := bytes.TrimLeft(doc, " \t\r\n")
	if !bytes.HasPrefix(trimmed, []byte(armorSigned)) {
		for line := range bytes.Lines(doc) {
			if bytes.HasPrefix(line, []byte("-----BEGIN PGP")) {
				return fail("has a PGP signature, but text before it that is not signed")
			}
		}
		return doc, 0, Signature{State: Unsigned}, nil
	}
	block, rest := clearsign.Decode(trimmed)
	if block == nil {
		return fail("its PGP signature is cut short or malformed")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return fail("has text after its PGP signature that is not signed")
	}
	skip = bytes.Count(doc[:len(doc)-len(trimmed)], []byte("\n"))
	for line := range bytes.Lines(trimmed) {
		skip++
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
	}
	sig, err = checkSignature(block, keys)
	if err != nil {
		return fail("%v", err)
	}
	// block.Bytes is what the signature covers; its line ends are CR LF.
	return bytes.ReplaceAll(block.Bytes, []byte("\r\n"), []byte("\n")), skip, sig, nil
}

// checkSignature verifies every signature of a block: one that does not fit is an error, the best
// of the others is the outcome.
func checkSignature(block *clearsign.Block, keys Keyrings) (Signature, error) {
	raw, err := io.ReadAll(io.LimitReader(block.ArmoredSignature.Body, maxControl))
	if err != nil {
		return Signature{}, fmt.Errorf("its PGP signature cannot be read: %w", err)
	}
	var sigs []*packet.Signature
	ids := map[uint64]bool{}
	for packets := packet.NewReader(bytes.NewReader(raw)); ; {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Signature{}, fmt.Errorf("its PGP signature cannot be read: %w", err)
		}
		if s, ok := p.(*packet.Signature); ok && s.IssuerKeyId != nil {
			sigs = append(sigs, s)
			ids[*s.IssuerKeyId] = true
		}
	}
	if len(sigs) == 0 {
		return Signature{}, errors.New("its PGP signature block holds no signature")
	}
	certs, err := keys.find(ids)
	if err != nil {
		return Signature{}, err
	}
	best := Signature{State: Unsigned}
	for _, s := range sigs {
		got, err := checkOne(block.Bytes, s, certs)
		if err != nil {
			return Signature{}, err
		}
		if got.State > best.State {
			best = got
		}
	}
	return best, nil
}

// checkOne verifies one signature over text.
func checkOne(text []byte, s *packet.Signature, certs openpgp.EntityList) (Signature, error) {
	out := Signature{State: UnknownKey, KeyID: fmt.Sprintf("%016X", *s.IssuerKeyId),
		Made: s.CreationTime.UTC()}
	if len(s.IssuerFingerprint) > 0 {
		out.KeyID = strings.ToUpper(hex.EncodeToString(s.IssuerFingerprint))
	}
	if s.SigType != packet.SigTypeText && s.SigType != packet.SigTypeBinary {
		return out, fmt.Errorf("its PGP signature is of type %#x, which signs no documents",
			uint8(s.SigType))
	}
	var problem error
	for _, cert := range certs.EntitiesById(*s.IssuerKeyId) {
		if len(s.IssuerFingerprint) > 0 && !hasFingerprint(cert, s.IssuerFingerprint) {
			continue
		}
		fits, err := fits(text, s, cert)
		if err != nil {
			problem = err
			continue
		}
		if !fits {
			return out,
				fmt.Errorf("BAD signature: the text was changed after %s (key %s) signed it",
					signerOf(cert), out.KeyID)
		}
		out.Signer = signerOf(cert)
		out.State = Good
		if err := acceptable(text, s, cert); err != nil {
			out.State, out.Note = Doubtful, strings.TrimPrefix(err.Error(), "openpgp: ")
		}
		return out, nil
	}
	if problem != nil {
		out.State, out.Note, out.Signer = Doubtful, problem.Error(), "a known key"
	}
	return out, nil
}

// fits tells whether a signature was made over text by a key of cert.
func fits(text []byte, s *packet.Signature, cert *openpgp.Entity) (bool, error) {
	for _, key := range publicKeys(cert) {
		if key.KeyId != *s.IssuerKeyId {
			continue
		}
		h, err := s.PrepareVerify()
		if err != nil {
			return false, fmt.Errorf("its algorithm is not supported: %w", err)
		}
		h.Write(text)
		if key.VerifySignature(h, s) == nil {
			return true, nil
		}
	}
	return false, nil
}

// acceptable applies OpenPGP's rules to a signature that fits: the key must have been valid, and
// for signing, when it signed. Keyrings drop old self-signatures, so that a key may look too young
// for what it signed: then it must be valid now.
func acceptable(text []byte, s *packet.Signature, cert *openpgp.Entity) error {
	var buf bytes.Buffer
	if err := s.Serialize(&buf); err != nil {
		return err
	}
	var first error
	for _, at := range []time.Time{s.CreationTime, time.Now()} {
		config := &packet.Config{Time: func() time.Time { return at }}
		_, _, err := openpgp.VerifyDetachedSignature(openpgp.EntityList{cert},
			bytes.NewReader(text), bytes.NewReader(buf.Bytes()), config)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// publicKeys are the primary key and the subkeys of a certificate.
func publicKeys(cert *openpgp.Entity) []*packet.PublicKey {
	out := []*packet.PublicKey{cert.PrimaryKey}
	for _, sub := range cert.Subkeys {
		out = append(out, sub.PublicKey)
	}
	return out
}

func hasFingerprint(cert *openpgp.Entity, fingerprint []byte) bool {
	for _, key := range publicKeys(cert) {
		if bytes.Equal(key.Fingerprint, fingerprint) {
			return true
		}
	}
	return false
}

// signerOf names the owner of a key, safe to print.
func signerOf(cert *openpgp.Entity) string {
	if _, id := cert.PrimaryIdentity(time.Time{}, nil); id != nil {
		return printable(id.Name)
	}
	best := ""
	for name := range cert.Identities {
		if best == "" || name < best {
			best = name
		}
	}
	if best == "" {
		return "a key without a name"
	}
	return printable(best)
}

// printable replaces what a terminal would interpret.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
