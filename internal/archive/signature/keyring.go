package signature

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"nsbuild/internal/archive/failure"
)

// Keyring is a set of keys with the places they come from, for messages.
type Keyring struct {
	openpgp.EntityList
	from []string
}

// Add joins keys in. Of two copies of one key the one that changed later stays: it may be the one
// that is revoked, or that lives longer.
func (k *Keyring) Add(entities openpgp.EntityList, from string) {
	for _, e := range entities {
		i := slices.IndexFunc(k.EntityList, func(o *openpgp.Entity) bool {
			return bytes.Equal(o.PrimaryKey.Fingerprint, e.PrimaryKey.Fingerprint)
		})
		switch {
		case i < 0:
			k.EntityList = append(k.EntityList, e)
		case LastChange(openpgp.EntityList{e}).After(
			LastChange(openpgp.EntityList{k.EntityList[i]})):
			k.EntityList[i] = e
		}
	}
	k.from = append(k.from, from)
}

func (k *Keyring) String() string {
	if len(k.from) == 0 {
		return "no keyring"
	}
	return strings.Join(k.from, ", ")
}

// Restrict leaves only the keys that have, or one of whose subkeys has, one of the fingerprints.
func (k *Keyring) Restrict(fingerprints []string) {
	var keep openpgp.EntityList
	for _, e := range k.EntityList {
		all := []string{fmt.Sprintf("%x", e.PrimaryKey.Fingerprint)}
		for _, s := range e.Subkeys {
			all = append(all, fmt.Sprintf("%x", s.PublicKey.Fingerprint))
		}
		for _, fp := range fingerprints {
			if strings.Contains(" "+strings.Join(all, " ")+" ", " "+fp+" ") {
				keep = append(keep, e)
				break
			}
		}
	}
	k.EntityList = keep
}

// ReadKeys reads a keyring: binary, or any number of armored blocks.
func ReadKeys(data []byte) (openpgp.EntityList, error) {
	if len(data) > 32<<20 {
		return nil, failure.Syntax("larger than 32 MiB")
	}
	if bytes.HasPrefix(data, []byte("\x00\x00\x00\x20")) &&
		bytes.Contains(data[:min(len(data), 16)], []byte("KBXf")) {
		return nil, failure.Syntax("a GnuPG keybox; export its keys with gpg --export")
	}
	data, err := Dearmor(data, openpgp.PublicKeyType)
	if err != nil {
		return nil, err
	}
	keys, err := openpgp.ReadKeyRing(bytes.NewReader(data))
	if err != nil {
		return nil, failure.Syntax("%v", err)
	}
	return keys, nil
}

// Dearmor returns binary OpenPGP data: what it was given if that is binary, else all armored blocks
// one after the other. All must be of the one type.
func Dearmor(data []byte, blockType string) ([]byte, error) {
	const begin = "-----BEGIN PGP "
	rest := bytes.TrimLeft(data, " \t\r\n")
	if len(rest) == 0 {
		return nil, failure.Syntax("empty")
	}
	if rest[0]&0x80 != 0 { // the first octet of every OpenPGP packet
		return data, nil
	}
	var out []byte
	for bytes.Contains(rest, []byte(begin)) {
		i := bytes.Index(rest, []byte(begin))
		next := len(rest)
		if j := bytes.Index(rest[i+1:], []byte(begin)); j >= 0 {
			next = i + 1 + j
		}
		block, err := armor.Decode(bytes.NewReader(rest[i:next]))
		if err != nil {
			return nil, failure.Syntax("armor: %v", err)
		}
		if block.Type != blockType {
			return nil, failure.Syntax("%s where a %s should be", block.Type, blockType)
		}
		body, err := io.ReadAll(block.Body)
		if err != nil {
			return nil, failure.Syntax("armor: %v", err)
		}
		out = append(out, body...)
		rest = rest[next:]
	}
	if out == nil {
		return nil, failure.Syntax("no OpenPGP data")
	}
	return out, nil
}

// unjudged are the keys without what was found out about their own signatures. The library notes
// each verdict in the key and asks no second time. A verdict holds for one day and one leniency
// only, and two goroutines may check signatures at once: each check has a copy of its own.
func unjudged(keys openpgp.EntityList) openpgp.EntityList {
	out := make(openpgp.EntityList, 0, len(keys))
	for _, e := range keys {
		fresh := &openpgp.Entity{PrimaryKey: e.PrimaryKey, PrivateKey: e.PrivateKey,
			Revocations:      unverified(e.Revocations),
			DirectSignatures: unverified(e.DirectSignatures),
			Identities:       make(map[string]*openpgp.Identity, len(e.Identities))}
		for name, id := range e.Identities {
			fresh.Identities[name] = &openpgp.Identity{Primary: fresh, Name: id.Name,
				UserId: id.UserId, SelfCertifications: unverified(id.SelfCertifications),
				OtherCertifications: unverified(id.OtherCertifications),
				Revocations:         unverified(id.Revocations)}
		}
		for _, s := range e.Subkeys {
			fresh.Subkeys = append(fresh.Subkeys, openpgp.Subkey{Primary: fresh,
				PublicKey: s.PublicKey, PrivateKey: s.PrivateKey,
				Bindings: unverified(s.Bindings), Revocations: unverified(s.Revocations)})
		}
		out = append(out, fresh)
	}
	return out
}

func unverified(sigs []*packet.VerifiableSignature) []*packet.VerifiableSignature {
	out := make([]*packet.VerifiableSignature, 0, len(sigs))
	for _, s := range sigs {
		out = append(out, packet.NewVerifiableSig(s.Packet))
	}
	return out
}

// LastChange is the time of the newest signature that the keys made over themselves.
func LastChange(keys openpgp.EntityList) time.Time {
	var last time.Time
	see := func(sigs ...*packet.VerifiableSignature) {
		for _, s := range sigs {
			if s != nil && s.Packet != nil && s.Packet.CreationTime.After(last) {
				last = s.Packet.CreationTime
			}
		}
	}
	for _, e := range keys {
		see(e.Revocations...)
		see(e.DirectSignatures...)
		for _, id := range e.Identities {
			see(id.SelfCertifications...)
			see(id.Revocations...)
		}
		for _, s := range e.Subkeys {
			see(s.Bindings...)
			see(s.Revocations...)
		}
	}
	return last
}
