package aptconf

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/signature"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/regular"
)

// Keyring collects the keys that may sign a repository.
//
// A source with Signed-By is bound to what that names, as in apt, with one exception: where it
// names a distribution's own keyring (debian-archive-keyring.gpg), whichever of the host's copy and
// the embedded one is newer is taken, so that an old host can make a newer suite. Newer is the copy
// with the later signature by any of its keys over itself, for every change of a keyring (a key, a
// longer life, a revocation) makes one. The two are not joined: a key that the newer one dropped
// stays dropped. A repository without Signed-By has its distribution's keyring and, when it is one
// of the host's own sources or a mirror given by hand, trusted.gpg(.d), as in apt.
func (h *Host) Keyring(r Repo) (*signature.Keyring, error) {
	k := &signature.Keyring{}
	if r.options.keyData != "" {
		keys, err := signature.ReadKeys([]byte(r.options.keyData))
		if err != nil {
			return nil, fmt.Errorf("key in %s: %w", r.origin, err)
		}
		k.Add(keys, "the key in "+r.origin)
		return k, nil
	}
	var fingerprints []string
	bound := false
	for _, name := range r.Keyrings {
		if fp := strings.TrimSuffix(name, "!"); !strings.Contains(name, "/") && len(fp) >= 40 &&
			hashes.IsHex(fp) {
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
		k.Restrict(fingerprints)
	}
	return k, nil
}

// addKeyring adds the keyring of an absolute file name, as it is, or of a name among the host's and
// the embedded keyrings.
func (h *Host) addKeyring(k *signature.Keyring, name string) error {
	file, isOwn := name, false
	var own []byte
	if !filepath.IsAbs(name) {
		file = h.path(filepath.Join("/usr/share/keyrings", name))
		data, err := suites.Keyring(name)
		own, isOwn = data, err == nil
	}
	var host openpgp.EntityList
	data, readErr := regular.ReadFile(file, maxKeyring)
	if readErr == nil {
		var err error
		if host, err = signature.ReadKeys(data); err != nil {
			return failure.New("repair or reinstall that keyring", "keyring %s: %w", file, err)
		}
	}
	if !isOwn {
		if readErr != nil {
			hint := "install the keyring there, or name another with --keyring"
			return failure.New(hint, "keyring: %w", readErr)
		}
		k.Add(host, file)
		return nil
	}
	if readErr != nil && !errors.Is(readErr, fs.ErrNotExist) {
		return failure.New("make it readable, or name another with --keyring", "keyring: %w",
			readErr)
	}
	embedded, err := signature.ReadKeys(own)
	if err != nil {
		return fmt.Errorf("embedded keyring %s: %w", name, err)
	}
	if readErr == nil && !signature.LastChange(host).Before(signature.LastChange(embedded)) {
		k.Add(host, file)
	} else {
		k.Add(embedded, name+" (embedded)")
	}
	return nil
}

// addTrusted adds the keys that apt trusts for every source. A file there that cannot be read or
// parsed is passed over, as apt does: a vendor's broken key must not keep Debian's from counting.
func (h *Host) addTrusted(k *signature.Keyring) {
	files := append([]string{h.path("etc/apt/trusted.gpg")},
		h.parts("etc/apt/trusted.gpg.d", "gpg", "asc")...)
	for _, file := range files {
		data, err := regular.ReadFile(file, maxKeyring)
		if err != nil {
			continue
		}
		if keys, err := signature.ReadKeys(data); err == nil {
			k.Add(keys, file)
		}
	}
}

// maxKeyring bounds a keyring: the largest of a distribution has some hundred KiB, a developers'
// one tens of MiB.
const maxKeyring = 256 << 20
