package archive

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"nsbuild/internal/regular"
)

//go:embed keyrings/*.gpg
var embeddedKeyrings embed.FS

// keyring is a set of keys with the places they come from, for messages.
type keyring struct {
	openpgp.EntityList
	from []string
}

// add joins keys in. Of two copies of one key the one that changed later stays: it may be the one
// that is revoked, or that lives longer.
func (k *keyring) add(entities openpgp.EntityList, from string) {
	for _, e := range entities {
		i := slices.IndexFunc(k.EntityList, func(o *openpgp.Entity) bool {
			return bytes.Equal(o.PrimaryKey.Fingerprint, e.PrimaryKey.Fingerprint)
		})
		switch {
		case i < 0:
			k.EntityList = append(k.EntityList, e)
		case lastChange(openpgp.EntityList{e}).After(
			lastChange(openpgp.EntityList{k.EntityList[i]})):
			k.EntityList[i] = e
		}
	}
	k.from = append(k.from, from)
}

func (k *keyring) String() string {
	if len(k.from) == 0 {
		return "no keyring"
	}
	return strings.Join(k.from, ", ")
}

// keyring collects the keys that may sign a repository.
//
// A source with Signed-By is bound to what that names, as in apt, with one exception: where it
// names a distribution's own keyring (debian-archive-keyring.gpg), whichever of the host's copy and
// the embedded one is newer is taken, so that an old host can make a newer suite. Newer is the copy
// with the later signature by any of its keys over itself, for every change of a keyring (a key, a
// longer life, a revocation) makes one. The two are not joined: a key that the newer one dropped
// stays dropped. A repository without Signed-By has its distribution's keyring and, when it is one
// of the host's own sources or a mirror given by hand, trusted.gpg(.d), as in apt.
func (h *Host) keyring(r Repo) (*keyring, error) {
	k := &keyring{}
	if r.options.keyData != "" {
		keys, err := readKeys([]byte(r.options.keyData))
		if err != nil {
			return nil, fmt.Errorf("key in %s: %w", r.origin, err)
		}
		k.add(keys, "the key in "+r.origin)
		return k, nil
	}
	var fingerprints []string
	bound := false
	for _, name := range r.Keyrings {
		if fp := strings.TrimSuffix(name, "!"); !strings.Contains(name, "/") && len(fp) >= 40 &&
			isHex(fp) {
			fingerprints = append(fingerprints, strings.ToLower(fp))
			continue
		}
		bound = bound || filepath.IsAbs(name)
		if err := h.addKeyring(k, name); err != nil {
			return nil, err
		}
	}
	if len(fingerprints) > 0 || r.hostKeys && !bound {
		h.addTrusted(k)
	}
	if len(fingerprints) > 0 {
		k.restrict(fingerprints)
	}
	return k, nil
}

// addKeyring adds the keyring of an absolute file name, as it is, or of a name among the host's and
// the embedded keyrings.
func (h *Host) addKeyring(k *keyring, name string) error {
	file, isOwn := name, false
	var own []byte
	if !filepath.IsAbs(name) {
		file = h.path(filepath.Join("/usr/share/keyrings", name))
		data, err := embeddedKeyrings.ReadFile("keyrings/" + name)
		own, isOwn = data, err == nil
	}
	var host openpgp.EntityList
	data, readErr := regular.ReadFile(file, maxKeyring)
	if readErr == nil {
		var err error
		if host, err = readKeys(data); err != nil {
			return failf("repair or reinstall that keyring", "keyring %s: %w", file, err)
		}
	}
	if !isOwn {
		if readErr != nil {
			hint := "install the keyring there, or name another with --keyring"
			return failf(hint, "keyring: %w", readErr)
		}
		k.add(host, file)
		return nil
	}
	if readErr != nil && !errors.Is(readErr, fs.ErrNotExist) {
		return failf("make it readable, or name another with --keyring", "keyring: %w", readErr)
	}
	embedded, err := readKeys(own)
	if err != nil {
		return fmt.Errorf("embedded keyring %s: %w", name, err)
	}
	if readErr == nil && !lastChange(host).Before(lastChange(embedded)) {
		k.add(host, file)
	} else {
		k.add(embedded, name+" (embedded)")
	}
	return nil
}

// addTrusted adds the keys that apt trusts for every source. A file there that cannot be read or
// parsed is passed over, as apt does: a vendor's broken key must not keep Debian's from counting.
func (h *Host) addTrusted(k *keyring) {
	files := append([]string{h.path("etc/apt/trusted.gpg")},
		h.parts("etc/apt/trusted.gpg.d", "gpg", "asc")...)
	for _, file := range files {
		data, err := regular.ReadFile(file, maxKeyring)
		if err != nil {
			continue
		}
		if keys, err := readKeys(data); err == nil {
			k.add(keys, file)
		}
	}
}

// maxKeyring bounds a keyring: the largest of a distribution has some hundred KiB, a developers'
// one tens of MiB.
const maxKeyring = 256 << 20

// restrict leaves only the keys that have, or one of whose subkeys has, one of the fingerprints.
func (k *keyring) restrict(fingerprints []string) {
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

// readKeys reads a keyring: binary, or any number of armored blocks.
func readKeys(data []byte) (openpgp.EntityList, error) {
	if len(data) > 32<<20 {
		return nil, syntaxf("larger than 32 MiB")
	}
	if bytes.HasPrefix(data, []byte("\x00\x00\x00\x20")) &&
		bytes.Contains(data[:min(len(data), 16)], []byte("KBXf")) {
		return nil, syntaxf("a GnuPG keybox; export its keys with gpg --export")
	}
	data, err := dearmor(data, openpgp.PublicKeyType)
	if err != nil {
		return nil, err
	}
	keys, err := openpgp.ReadKeyRing(bytes.NewReader(data))
	if err != nil {
		return nil, syntaxf("%v", err)
	}
	return keys, nil
}

// dearmor returns binary OpenPGP data: what it was given if that is binary, else all armored blocks
// one after the other. All must be of the one type.
func dearmor(data []byte, blockType string) ([]byte, error) {
	const begin = "-----BEGIN PGP "
	rest := bytes.TrimLeft(data, " \t\r\n")
	if len(rest) == 0 {
		return nil, syntaxf("empty")
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
			return nil, syntaxf("armor: %v", err)
		}
		if block.Type != blockType {
			return nil, syntaxf("%s where a %s should be", block.Type, blockType)
		}
		body, err := io.ReadAll(block.Body)
		if err != nil {
			return nil, syntaxf("armor: %v", err)
		}
		out = append(out, body...)
		rest = rest[next:]
	}
	if out == nil {
		return nil, syntaxf("no OpenPGP data")
	}
	return out, nil
}

// lastChange is the time of the newest signature that the keys made over themselves.
func lastChange(keys openpgp.EntityList) time.Time {
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

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return s != ""
}
