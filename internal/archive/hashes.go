package archive

import (
	"crypto/md5"  // only what an old suite's quirk allows
	"crypto/sha1" // likewise
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strings"
)

// Hashes are the digests that an index gives for a file, in lower-case hex; "" for one it does not
// give.
type Hashes struct{ MD5, SHA1, SHA256, SHA512 string }

// strongest returns the digest to go by and a new hash of its kind. MD5 and SHA-1 count only with
// weak; nil means that there is none.
func (h Hashes) strongest(weak bool) (want string, sum hash.Hash) {
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

// set takes over a digest by the name of its field or section: "MD5sum", "SHA256",
// "Checksums-Sha256". It reports whether both name and digest are well-formed.
func (h *Hashes) set(name, digest string) bool {
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
	if len(digest) != hex.EncodedLen(size) || !isHex(digest) {
		return false
	}
	*into = digest
	return true
}

// byHash is the file's name in its directory's by-hash tree: "SHA256/<digest>".
func (h Hashes) byHash() string {
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

// wellFormed reports whether every digest that is there is lower-case hex of its right length.
func (h Hashes) wellFormed() bool {
	for _, d := range []struct {
		digest string
		size   int
	}{{h.MD5, md5.Size}, {h.SHA1, sha1.Size}, {h.SHA256, sha256.Size}, {h.SHA512, sha512.Size}} {
		if d.digest != "" && (len(d.digest) != hex.EncodedLen(d.size) || !isHex(d.digest) ||
			strings.ToLower(d.digest) != d.digest) {
			return false
		}
	}
	return true
}
