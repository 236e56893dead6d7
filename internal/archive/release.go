package archive

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/deb822"
)

// Release is a verified Release file: the root from which every other file of a suite is verified.
// When the mirror changes under our hands, the methods of Client that are given it bring it up to
// date in place; its accessors are safe for concurrent use.
type Release struct {
	repo aptconf.Repo
	mu   sync.Mutex
	st   *releaseState
}

// releaseState is one version of a Release file; it never changes.
type releaseState struct {
	fields    map[string]string
	date      time.Time
	until     time.Time
	byHash    bool
	files     map[string]indexFile
	weakOnly  bool   // whether it has only digests that do not count
	digest    string // SHA-256 of the verified text
	signers   []string
	paths     []stored // the files it came from, in the cache
	modified  time.Time
	inRelease bool
}

// stored is a file of the cache under the name it has on the mirror.
type stored struct{ name, path string }

// indexFile is a file that a Release file lists.
type indexFile struct {
	size   int64
	hashes hashes.Set
}

func (r *Release) state() *releaseState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.st
}

func (r *Release) update(st *releaseState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.st = st
}

// Repo is the repository it was fetched from.
func (r *Release) Repo() aptconf.Repo { return r.repo }

// Codename is that field, "" when absent, as are those that follow: "trixie".
func (r *Release) Codename() string { return r.state().fields["codename"] }

// Suite is the field Suite: "stable", "oldstable-security".
func (r *Release) Suite() string { return r.state().fields["suite"] }

// Version is the field Version: "12.11".
func (r *Release) Version() string { return r.state().fields["version"] }

// Origin is the field Origin: "Debian".
func (r *Release) Origin() string { return r.state().fields["origin"] }

// Label is the field Label: "Debian-Security".
func (r *Release) Label() string { return r.state().fields["label"] }

// Date is when the Release file was made.
func (r *Release) Date() time.Time { return r.state().date }

// ValidUntil is the field Valid-Until; zero when absent.
func (r *Release) ValidUntil() time.Time { return r.state().until }

// NotAutomatic is the field of that name: packages of backports and of experimental are installed
// only where something asks for them (apt_preferences(5)).
func (r *Release) NotAutomatic() bool {
	return aptconf.Bool(r.state().fields["notautomatic"],
		false)
}

// Digest is the SHA-256 of the signed text, in hex: it changes exactly when anything in the suite
// does.
func (r *Release) Digest() string { return r.state().digest }

// SignedBy lists the fingerprints of the keys whose good signatures it bears; none for a repository
// trusted without.
func (r *Release) SignedBy() []string { return slices.Clone(r.state().signers) }

// Components lists the suite's components; security suites' "updates/main" is "main".
func (r *Release) Components() []string {
	list := strings.Fields(r.state().fields["components"])
	for i := range list {
		list[i] = list[i][strings.LastIndexByte(list[i], '/')+1:]
	}
	return list
}

// Architectures lists the suite's architectures, "all" among them where the suite says so.
func (r *Release) Architectures() []string {
	return strings.Fields(r.state().fields["architectures"])
}

// separateAll reports whether packages of Architecture: all have an index of their own instead of
// being in every architecture's.
func (st *releaseState) separateAll() bool {
	return slices.Contains(strings.Fields(st.fields["architectures"]), "all") &&
		!slices.Contains(strings.Fields(st.fields["no-support-for-architecture-all"]), "Packages")
}

// parseRelease reads the text of a Release file. Only digests that count are taken: with weak also
// MD5 and SHA-1. Names of files that would leave the suite's directory are refused.
func parseRelease(text []byte, weak bool) (*releaseState, error) {
	s := deb822.NewText(text, deb822.Syntax{Limit: maxRelease})
	if !s.Next() {
		if s.Err() != nil {
			return nil, failure.Malformed(s.Err())
		}
		return nil, failure.Syntax("it is empty")
	}
	st := &releaseState{fields: map[string]string{}, files: map[string]indexFile{}}
	for _, f := range s.Paragraph {
		name := strings.ToLower(string(f.Name))
		switch name {
		case "md5sum", "sha1", "sha256", "sha512":
			if !weak && (name == "md5sum" || name == "sha1") {
				st.weakOnly = true
				continue
			}
			if err := st.addFiles(name, f.Value); err != nil {
				return nil, err
			}
		default:
			if _, twice := st.fields[name]; twice {
				return nil, failure.Syntax("two fields %s", f.Name)
			}
			st.fields[name] = string(f.Value)
		}
	}
	st.weakOnly = st.weakOnly && len(st.files) == 0
	if s.Next() {
		return nil, failure.Syntax("more than one paragraph")
	}
	if s.Err() != nil {
		return nil, failure.Malformed(s.Err())
	}
	var err error
	if st.date, err = parseDate(st.fields["date"]); err != nil {
		return nil, failure.Syntax("Date: %v", err)
	}
	if v := st.fields["valid-until"]; v != "" {
		if st.until, err = parseDate(v); err != nil {
			return nil, failure.Syntax("Valid-Until: %v", err)
		}
	}
	st.byHash = aptconf.Bool(st.fields["acquire-by-hash"], false)
	return st, nil
}

// addFiles reads one section of digests: lines of digest, size and name.
func (st *releaseState) addFiles(section string, value []byte) error {
	for len(value) > 0 {
		var line []byte
		line, value = deb822.CutLine(value)
		words := bytes.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return failure.Syntax("%s: %q is not a digest, a size and a name", section,
				deb822.Clip(line))
		}
		size, err := strconv.ParseInt(string(words[1]), 10, 64)
		name := string(words[2])
		if err != nil || size < 0 || !localName(name) {
			return failure.Syntax("%s: %q: bad size or name", section, deb822.Clip(line))
		}
		f, known := st.files[name]
		if known && f.size != size {
			return failure.Syntax("%s: two sizes for %s", section, name)
		}
		before := f.hashes
		f.size = size
		if !f.hashes.Add(section, string(words[0])) {
			return failure.Syntax("%s: %q: bad digest", section, deb822.Clip(line))
		}
		if got := f.hashes; known && before != (hashes.Set{}) && overwritten(before, got) {
			return failure.Syntax("%s: two digests for %s", section, name)
		}
		st.files[name] = f
	}
	return nil
}

// overwritten reports whether a digest that was there is now another one.
func overwritten(a, b hashes.Set) bool {
	return a.MD5 != "" && a.MD5 != b.MD5 || a.SHA1 != "" && a.SHA1 != b.SHA1 || a.SHA256 != "" &&
		a.SHA256 != b.SHA256 || a.SHA512 != "" && a.SHA512 != b.SHA512
}

// localName reports whether a file name from an index stays below the directory it is relative to,
// and is fit for a URL and a log line.
func localName(name string) bool {
	if name == "" || name[0] == '/' || len(name) > 4096 {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c == 0x7f || c == '\\' || c == '?' || c == '#' {
			return false
		}
	}
	return true
}

// parseDate reads a date as Release files have it: RFC 5322 with the zone UTC, as written by date
// -R -u, dak, reprepro and aptly.
func parseDate(s string) (time.Time, error) {
	s = strings.Join(strings.Fields(s), " ") // Ubuntu pads the hour with a blank
	for _, layout := range []string{"Mon, 2 Jan 2006 15:04:05 MST",
		"Mon, 2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05 MST"} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		// time.Parse takes any three letters for a zone, and knows no offset for them.
		if name, offset := t.Zone(); offset == 0 && !slices.Contains([]string{"UTC", "GMT", ""},
			name) {
			continue
		}
		return t.UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a date with a time in UTC", s)
}

// checkName refuses a Release file that is validly signed but another suite's: a mirror could
// otherwise pass off an old suite for a new one.
func (st *releaseState) checkName(r aptconf.Repo) error {
	if r.Flat() {
		return nil
	}
	suite, codename := st.fields["suite"], st.fields["codename"]
	if suite == "" && codename == "" {
		return nil
	}
	names := []string{r.Suite}
	if old, ok := strings.CutSuffix(r.Suite, "/updates"); ok { // security suites up to buster
		names = append(names, old, old+"-security")
	}
	for _, n := range names {
		// Ubuntu's -updates has the Codename of the release: it must not pass for the release
		// itself.
		if suite == n || codename == n && !strings.HasPrefix(suite, n+"-") {
			return nil
		}
	}
	return fmt.Errorf("%w: it is for Suite %q, Codename %q", failure.ErrWrongSuite, suite, codename)
}
