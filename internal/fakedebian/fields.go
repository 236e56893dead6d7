package fakedebian

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
)

const maintainer = "Test Maintainer <maintainer@mirror.example>"

// fields is one paragraph of a control file, in order.
type fields []Field

// add appends a field; an empty value leaves it out. Further lines of a value are folded.
func (f *fields) add(name, value string) {
	if value != "" {
		*f = append(*f, Field{name, value})
	}
}

func (f fields) get(name string) string {
	for _, field := range f {
		if strings.EqualFold(field.Name, name) {
			return field.Value
		}
	}
	return ""
}

func (f fields) String() string {
	var b strings.Builder
	for _, field := range f {
		value := strings.TrimSuffix(field.Value, "\n")
		if strings.HasPrefix(value, "\n") {
			fmt.Fprintf(&b, "%s:%s\n", field.Name, strings.ReplaceAll(value, "\n", "\n "))
		} else {
			fmt.Fprintf(&b, "%s: %s\n", field.Name, strings.ReplaceAll(value, "\n", "\n "))
		}
	}
	return b.String()
}

// parseFields reads one paragraph. It is for control files of real packages, which are well formed.
func parseFields(text string) fields {
	var f fields
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line != "" && (line[0] == ' ' || line[0] == '\t') && len(f) > 0 {
			f[len(f)-1].Value += "\n" + line[1:]
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		f = append(f, Field{name, strings.TrimSpace(value)})
	}
	return f
}

// Hash is one of the hashes of an archive, by the name of its section in a Release file.
type Hash string

// The hashes of archives.
const (
	MD5    Hash = "MD5Sum"
	SHA1   Hash = "SHA1"
	SHA256 Hash = "SHA256"
	SHA512 Hash = "SHA512"
)

func (h Hash) new() hash.Hash {
	switch h {
	case MD5:
		return md5.New()
	case SHA1:
		return sha1.New()
	case SHA512:
		return sha512.New()
	default:
		return sha256.New()
	}
}

// indexField is the hash's field in Packages, and dscField that in .dsc files and Sources.
func (h Hash) indexField() string {
	if h == MD5 {
		return "MD5sum"
	}
	return string(h)
}

func (h Hash) dscField() string {
	if h == MD5 {
		return "Files"
	}
	return "Checksums-" + strings.ToUpper(string(h[:1])) + strings.ToLower(string(h[1:]))
}

func (h Hash) sum(data []byte) string {
	sum := h.new()
	sum.Write(data)
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// sums hashes a stream in several ways at once and counts its bytes.
func sums(r io.Reader, hashes []Hash) (map[Hash]string, int64, error) {
	writers := make([]io.Writer, len(hashes))
	running := make([]hash.Hash, len(hashes))
	for i, h := range hashes {
		running[i] = h.new()
		writers[i] = running[i]
	}
	n, err := io.Copy(io.MultiWriter(writers...), r)
	if err != nil {
		return nil, 0, err
	}
	out := map[Hash]string{}
	for i, h := range hashes {
		out[h] = fmt.Sprintf("%x", running[i].Sum(nil))
	}
	return out, n, nil
}

func withoutEpoch(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		return rest
	}
	return version
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
