// Package hashes has the digests by which an archive's files are known, and says which of them
// count.
package hashes

import (
	"crypto/md5"  // only what an old suite's quirk allows
	"crypto/sha1" // likewise
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// Set is the digests that an index gives for a file, in lower-case hex; "" for one it does not
// give.
type Set struct{ MD5, SHA1, SHA256, SHA512 string }

// Strongest returns the digest to go by and a new hash of its kind. MD5 and SHA-1 count only with
// weak; nil means that there is none.
func (h Set) Strongest(weak bool) (want string, sum hash.Hash) {
	switch {
	case h.SHA256 != "":
		// first, because it names the files in the cache, and every archive gives it
		return h.SHA256, sha256.New()
	case h.SHA512 != "":
		return h.SHA512, sha512.New()
	case weak && h.SHA1 != "":
		return h.SHA1, sha1.New()
	case weak && h.MD5 != "":
		return h.MD5, md5.New()
	}
	return "", nil
}

// Add takes over a digest by the name of its field or section: "MD5sum", "SHA256",
// "Checksums-Sha256". It reports whether both name and digest are well-formed.
func (h *Set) Add(name, digest string) bool {
	digest = strings.ToLower(digest)
	name = strings.TrimPrefix(strings.ToLower(name), "checksums-")
	var into *string
	var size int
	switch name {
	case "md5sum", "md5":
		into, size = &h.MD5, md5.Size
	case "sha1":
		into, size = &h.SHA1, sha1.Size
	case "sha256":
		into, size = &h.SHA256, sha256.Size
	case "sha512":
		into, size = &h.SHA512, sha512.Size
	default:
		return false
	}
	if len(digest) != hex.EncodedLen(size) || !IsHex(digest) {
		return false
	}
	*into = digest
	return true
}

// ByHash is the file's name in its directory's by-hash tree: "SHA256/<digest>".
func (h Set) ByHash() string {
	switch {
	case h.SHA256 != "":
		return "SHA256/" + h.SHA256
	case h.SHA512 != "":
		return "SHA512/" + h.SHA512
	case h.SHA1 != "":
		return "SHA1/" + h.SHA1
	}
	return "MD5Sum/" + h.MD5
}

// WellFormed reports whether every digest that is there is lower-case hex of its right length.
func (h Set) WellFormed() bool {
	for _, d := range []struct {
		digest string
		size   int
	}{{h.MD5, md5.Size}, {h.SHA1, sha1.Size}, {h.SHA256, sha256.Size}, {h.SHA512, sha512.Size}} {
		if d.digest != "" && (len(d.digest) != hex.EncodedLen(d.size) || !IsHex(d.digest) ||
			strings.ToLower(d.digest) != d.digest) {
			return false
		}
	}
	return true
}

// Hex is what a hash has come to, in hex.
func Hex(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)) }

// IsHex reports whether a text is made of hexadecimal digits, one at least.
func IsHex(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return s != ""
}

// SHA256 is the digest of data, in hex.
func SHA256(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }
