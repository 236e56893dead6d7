package aptconf

import (
	"fmt"
	"slices"
	"strings"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/suites"
)

// Serves tells whether a repository is for an architecture: it may be restricted with [arch=…].
func (r Repo) Serves(arch string) bool {
	return r.options.serves(arch)
}

func (o *sourceOptions) serves(arch string) bool {
	return (len(o.architectures) == 0 || slices.Contains(o.architectures, arch)) &&
		!slices.Contains(o.notFor, arch)
}

// IndexComponents are the components to ask Packages and Sources for: "" stands for a flat
// repository, which has none.
func (r Repo) IndexComponents() []string {
	if r.Flat() {
		return []string{""}
	}
	return r.Components
}

// AptDist is dist as apt writes it: a flat repository's "./" stays.
func (r Repo) AptDist() string {
	if r.Flat() && r.Suite != "/" {
		return r.URI + "/" + r.Suite
	}
	return r.Dist()
}

// Repo is one suite on one mirror, with what may sign it: what a line of sources.list says.
type Repo struct {
	// without a slash at its end: "http://ftp.debian.org/debian"; file:/… for a directory
	URI          string
	Suite        string   // "bookworm"; with a slash at its end ("./") a flat repository
	Components   []string // none for a flat repository
	Distribution string   // of the suite table, "" when it is not in it
	// absolute file names, base names of keyrings in /usr/share/keyrings or embedded, or
	// fingerprints of keys in trusted.gpg.d
	Keyrings []string
	Trusted  bool // whether it counts without a signature ([trusted=yes])
	// whether the mirror may lack it: -updates and -security of a mirror given by hand
	Optional bool
	Security bool // whether it is a security suite
	Quirks   suites.Quirks

	hostKeys bool // whether trusted.gpg(.d) counts too
	options  sourceOptions
	origin   string // where it was found, for messages
	note     string // to be said when it is used
}

// SourcesLine is the repository as a line of sources.list, without options and credentials.
func (r Repo) SourcesLine() string {
	return strings.Join(append([]string{"deb", failure.PublicURI(r.URI), r.Suite}, r.Components...),
		" ")
}

func (r Repo) String() string { return failure.PublicURI(r.URI) + " " + r.Suite }

// Note is what is to be said when the repository is used, "" for nothing.
func (r Repo) Note() string { return r.note }

// Origin is where the repository was found, for messages.
func (r Repo) Origin() string { return r.origin }

// KeySources names all that the keys of a repository are read from: two repositories that have the
// same have the same keys.
func (r Repo) KeySources() string {
	return fmt.Sprint(strings.Join(r.Keyrings, "\n"), "\n", r.hostKeys, r.options.keyData)
}

// InRelease is where InRelease is instead, from the directory of the suite; "" where it belongs.
func (r Repo) InRelease() string { return r.options.inRelease }

// AllowsInsecure is the option allow-insecure.
func (r Repo) AllowsInsecure() bool { return r.options.allowInsecure }

// ByHash is the option by-hash, in lower case; "" when it is not given.
func (r Repo) ByHash() string { return r.options.byHash }

// Flat reports whether the repository has no dists/ directory.
func (r Repo) Flat() bool { return strings.HasSuffix(r.Suite, "/") }

// Dist is the URI of the directory of the Release file, with a slash at its end.
func (r Repo) Dist() string {
	switch {
	case r.Suite == "./" || r.Suite == "/":
		return r.URI + "/"
	case r.Flat():
		return r.URI + "/" + strings.TrimPrefix(r.Suite, "/")
	}
	return r.URI + "/dists/" + r.Suite + "/"
}

// WithoutVerification is the repository to be believed without a signature, at whose request: the
// log says so each time.
func (r Repo) WithoutVerification(request string) Repo {
	r.Trusted, r.origin = true, request
	return r
}
