package lock

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// check finds the first field that cannot be right, and says why.
func (f *File) check() (field, why string) {
	switch {
	case !word(f.Suite):
		return "suite", fmt.Sprintf("%q cannot be the name of a suite", f.Suite)
	case !word(f.Arch):
		return "architecture", fmt.Sprintf("%q cannot be an architecture", f.Arch)
	case f.Variant == "":
		return "variant", "it is missing"
	case !plausible(f.Epoch):
		return "epoch", "it is missing, or not between 1970 and 9999"
	case len(f.Repositories) == 0:
		return "repository", "there is none, so no package"
	}
	seen := map[string]bool{}
	for i, r := range f.Repositories {
		in := fmt.Sprintf("repository.%d.", i)
		switch {
		case !usable(r.URI):
			return in + "uri",
				fmt.Sprintf("%q is no URI of an archive (http, https, file or copy), without a "+
					"login in it", r.URI)
		case r.Suite == "" || strings.ContainsAny(r.Suite, " \t\n\\?#") ||
			strings.Contains(r.Suite, ".."):
			return in + "suite", fmt.Sprintf("%q cannot be the name of a suite", r.Suite)
		case !r.Date.IsZero() && !plausible(r.Date):
			return in + "date", "it is not between 1970 and 9999"
		case r.SHA256 != "" && !digest(r.SHA256):
			return in + "sha256", fmt.Sprintf("%q is no SHA-256", r.SHA256)
		}
		for k, p := range r.Packages {
			name, why := p.check(f.Arch)
			if name == "" && seen[p.Name] {
				name, why = "name", "package "+p.Name+" is there twice"
			}
			if name != "" {
				return fmt.Sprintf("%spackages.%d.%s", in, k, name), why
			}
			seen[p.Name] = true
		}
	}
	if len(seen) == 0 {
		return "repository", "there is no package"
	}
	return "", ""
}

// check is File.check for one package of a base of that architecture.
func (p Package) check(arch string) (field, why string) {
	switch {
	case !word(p.Name) || strings.Contains(p.Name, ":"):
		return "name", fmt.Sprintf("%q cannot be the name of a package", p.Name)
	case !word(p.Version):
		return "version", fmt.Sprintf("package %s: %q cannot be a version", p.Name, p.Version)
	case p.Arch != arch && p.Arch != "all":
		return "architecture",
			fmt.Sprintf("package %s: %q is neither %s, the architecture of the base, nor all",
				p.Name, p.Arch, arch)
	case p.Size <= 0:
		return "size", fmt.Sprintf("package %s: %d bytes cannot be a package", p.Name, p.Size)
	case !digest(p.SHA256):
		return "sha256", fmt.Sprintf("package %s: %q is no SHA-256", p.Name, p.SHA256)
	case !local(p.File):
		return "file", fmt.Sprintf("package %s: %q is no file of an archive", p.Name, p.File)
	}
	return "", ""
}

// plausible: a time that can be written as others are.
func plausible(t time.Time) bool { return t.Unix() > 0 && t.UTC().Year() <= 9999 }

// word: the characters that Policy 5.6 allows in names, versions and architectures.
func word(s string) bool {
	const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	return s != "" && strings.Contains(alphanumeric, s[:1]) &&
		strings.Trim(s, alphanumeric+"+-.~:_") == ""
}

// digest: a SHA-256 in lower-case hex.
func digest(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }

// local: a path that stays below the directory it is relative to, and may stand in a URL.
func local(s string) bool {
	if len(s) > 4096 {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c == 0x7f || c == '\\' || c == '?' || c == '#'
	})
}

// usable: an archive's URI as this program fetches from, and without a login, which has no place in
// a file that is passed on.
func usable(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	switch u.Scheme {
	case "http", "https":
		return u.Host != ""
	case "file", "copy":
		return u.Host == "" && strings.HasPrefix(u.Path, "/")
	}
	return false
}
