package dsc

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"nsbuild/internal/regular"
)

// Keyrings are files with OpenPGP public keys: binary, ASCII armoured, or GnuPG's keybox. They are
// trusted, and read only when a signature asks for a key: Debian's keyring has 28 MB, and loading
// all of it would take more memory than everything else together.
type Keyrings []string

// HostKeyrings are the keyrings of uploaders' keys that a host with its root directory at root may
// have, and a caller's own in home (unless ""). Files that are absent are left out.
func HostKeyrings(root, home string) Keyrings {
	var out Keyrings
	add := func(path string) {
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			out = append(out, path)
		}
	}
	for _, dir := range []string{"usr/share/keyrings", "usr/local/share/keyrings"} {
		for _, name := range []string{"debian-keyring", "debian-maintainers", "debian-nonupload",
			"debian-tag2upload", "ubuntu-master-keyring"} {
			add(filepath.Join(root, dir, name+".gpg"))
			add(filepath.Join(root, dir, name+".pgp"))
		}
	}
	if home != "" {
		add(filepath.Join(home, ".gnupg", "trustedkeys.gpg"))
		add(filepath.Join(home, ".gnupg", "trustedkeys.kbx"))
		add(filepath.Join(home, ".gnupg", "pubring.gpg"))
		add(filepath.Join(home, ".gnupg", "pubring.kbx"))
	}
	return out
}

// maxKey is the largest certificate that is kept, in bytes; keys with thousands of certifications
// stay below 4 MiB.
const maxKey = 16 << 20

// find returns every certificate that has one of the key ids, as primary key or subkey.
func (k Keyrings) find(ids map[uint64]bool) (openpgp.EntityList, error) {
	var out openpgp.EntityList
	for _, path := range k {
		if err := findIn(path, ids, &out); err != nil {
			return nil, fmt.Errorf("reading keyring %s: %w", path, err)
		}
	}
	return out, nil
}

func findIn(path string, ids map[uint64]bool, out *openpgp.EntityList) error {
	f, err := regular.Open(path)
	if errors.Is(err, fs.ErrPermission) && filepath.Base(filepath.Dir(path)) == ".gnupg" {
		return nil // under sudo with the caller's HOME on NFS: not ours to read
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return scanKeyring(f, ids, func(cert []byte) error {
		list, err := openpgp.ReadKeyRing(bytes.NewReader(cert))
		if err != nil {
			// A certificate that go-crypto cannot read (version 3, odd curves) is a key that is not
			// known.
			return nil //nolint:nilerr // see above
		}
		*out = append(*out, list...)
		return nil
	})
}

// scanKeyring calls found with each certificate (a primary key with what follows it) that has a key
// with one of the ids.
func scanKeyring(r io.Reader, ids map[uint64]bool, found func(cert []byte) error) error {
	br := bufio.NewReaderSize(r, 64<<10)
	head, _ := br.Peek(12) // a short file shows itself below
	switch {
	case len(head) == 0:
		return nil
	case len(head) == 12 && string(head[8:12]) == "KBXf":
		return scanKeybox(br, ids, found)
	case head[0] == '-':
		for {
			block, err := armor.Decode(br)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := scanPackets(bufio.NewReader(block.Body), ids, found); err != nil {
				return err
			}
		}
	}
	return scanPackets(br, ids, found)
}

// scanKeybox walks GnuPG's keybox format: blobs of a 32-bit length and a type; those of type 2 hold
// one certificate at a given offset.
func scanKeybox(br *bufio.Reader, ids map[uint64]bool, found func([]byte) error) error {
	for {
		var size [4]byte
		if _, err := io.ReadFull(br, size[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("keybox: %w", err)
		}
		n := binary.BigEndian.Uint32(size[:])
		if n < 5 || n > maxKey {
			return fmt.Errorf("keybox: a blob of %d bytes", n)
		}
		blob := make([]byte, n)
		copy(blob, size[:])
		if _, err := io.ReadFull(br, blob[4:]); err != nil {
			return fmt.Errorf("keybox: %w", err)
		}
		if blob[4] != 2 || n < 16 {
			continue
		}
		off, length := uint64(binary.BigEndian.Uint32(blob[8:12])),
			uint64(binary.BigEndian.Uint32(blob[12:16]))
		if off+length > uint64(n) {
			return errors.New("keybox: a key reaches beyond its blob")
		}
		if err := scanPackets(bufio.NewReader(bytes.NewReader(blob[off:off+length])), ids,
			found); err != nil {
			return err
		}
	}
}

// OpenPGP packet types, RFC 9580 section 5.
const (
	tagPublicKey    = 6
	tagPublicSubkey = 14
)

// scanPackets walks OpenPGP packets (RFC 9580 section 4.2), keeping one certificate at a time.
func scanPackets(br *bufio.Reader, ids map[uint64]bool, found func([]byte) error) error {
	var (
		cert []byte
		want bool
	)
	flush := func() error {
		defer func() { cert, want = cert[:0], false }()
		if want {
			return found(bytes.Clone(cert))
		}
		return nil
	}
	for {
		tag, head, n, err := readPacketHeader(br)
		if errors.Is(err, io.EOF) {
			return flush()
		}
		if err != nil {
			return err
		}
		if tag == tagPublicKey {
			if err := flush(); err != nil {
				return err
			}
		}
		if n > maxKey || len(cert)+int(n) > maxKey {
			return fmt.Errorf("a certificate larger than %d MiB", maxKey>>20)
		}
		cert = append(cert, head...)
		start := len(cert)
		cert = append(cert, make([]byte, n)...)
		if _, err := io.ReadFull(br, cert[start:]); err != nil {
			return fmt.Errorf("cut short: %w", io.ErrUnexpectedEOF)
		}
		if tag == tagPublicKey || tag == tagPublicSubkey {
			if id, ok := keyID(cert[start:]); ok && ids[id] {
				want = true
			}
		}
	}
}

// readPacketHeader reads the type and the length of a packet; io.EOF at a clean end. Partial and
// indeterminate lengths do not occur in keys and are errors.
func readPacketHeader(br *bufio.Reader) (tag byte, head []byte, n uint32, err error) {
	first, err := br.ReadByte()
	if err != nil {
		return 0, nil, 0, err
	}
	if first&0x80 == 0 {
		return 0, nil, 0, errors.New("not OpenPGP data")
	}
	head = []byte{first}
	more := func(count int) ([]byte, error) {
		b := make([]byte, count)
		if _, err := io.ReadFull(br, b); err != nil {
			return nil, fmt.Errorf("cut short: %w", io.ErrUnexpectedEOF)
		}
		head = append(head, b...)
		return b, nil
	}
	if first&0x40 == 0 { // the old format
		tag = first >> 2 & 0x0f
		if first&3 == 3 {
			return 0, nil, 0, errors.New("a packet of indeterminate length")
		}
		b, err := more(1 << (first & 3))
		if err != nil {
			return 0, nil, 0, err
		}
		for _, c := range b {
			n = n<<8 | uint32(c)
		}
		return tag, head, n, nil
	}
	tag = first & 0x3f
	b, err := more(1)
	if err != nil {
		return 0, nil, 0, err
	}
	switch l := b[0]; {
	case l < 192:
		return tag, head, uint32(l), nil
	case l < 224:
		b, err := more(1)
		if err != nil {
			return 0, nil, 0, err
		}
		return tag, head, (uint32(l)-192)<<8 + uint32(b[0]) + 192, nil
	case l == 255:
		b, err := more(4)
		if err != nil {
			return 0, nil, 0, err
		}
		return tag, head, binary.BigEndian.Uint32(b), nil
	}
	return 0, nil, 0, errors.New("a packet of partial length")
}

// keyID is the key id of a public key packet's body, RFC 9580 section 5.5.4. Version 3 keys have
// none that is worth trusting.
func keyID(body []byte) (uint64, bool) {
	if len(body) == 0 {
		return 0, false
	}
	switch body[0] {
	case 4:
		h := sha1.New()
		h.Write([]byte{0x99, byte(len(body) >> 8), byte(len(body))})
		h.Write(body)
		return binary.BigEndian.Uint64(h.Sum(nil)[12:]), true
	case 6:
		h := sha256.New()
		h.Write([]byte{0x9b, byte(len(body) >> 24), byte(len(body) >> 16), byte(len(body) >> 8),
			byte(len(body))})
		h.Write(body)
		return binary.BigEndian.Uint64(h.Sum(nil)[:8]), true
	}
	return 0, false
}
