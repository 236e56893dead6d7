package release

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/deb822"
)

// maxRelease bounds a Release file, in bytes: that of a large archive has a few hundred KiB.
const maxRelease = 32 << 20

// State is one version of a Release file; it never changes.
type State struct {
	fields   map[string]string
	date     time.Time
	until    time.Time
	byHash   bool
	files    map[string]Listed
	weakOnly bool   // whether it has only digests that do not count
	digest   string // SHA-256 of the verified text
	signers  []string
	stored   []Stored
	modified time.Time
}

// Stored is a file of the cache under the name it has on the mirror.
type Stored struct{ Name, Path string }

// Listed is what a Release file says of a file.
type Listed struct {
	Size   int64
	Hashes hashes.Set
}

// Field is a field's text, "" when absent; name is in lower case.
func (st *State) Field(name string) string { return st.fields[name] }

// Date is when the Release file was made.
func (st *State) Date() time.Time { return st.date }

// Modified is when the mirror says that its file was last changed; zero when it does not.
func (st *State) Modified() time.Time { return st.modified }

// ByHash reports whether the suite offers its indices by their hashes.
func (st *State) ByHash() bool { return st.byHash }

// WeakOnly reports whether it has only digests that do not count.
func (st *State) WeakOnly() bool { return st.weakOnly }

// Listed is what it says of a file, by the name below the suite's directory.
func (st *State) Listed(name string) (Listed, bool) {
	l, ok := st.files[name]
	return l, ok
}

// Stored are the files that it came from: InRelease, or Release and Release.gpg.
func (st *State) Stored() []Stored { return slices.Clone(st.stored) }

// SeparateAll reports whether packages of Architecture: all have an index of their own instead of
// being in every architecture's.
func (st *State) SeparateAll() bool {
	return slices.Contains(strings.Fields(st.fields["architectures"]), "all") &&
		!slices.Contains(strings.Fields(st.fields["no-support-for-architecture-all"]), "Packages")
}

// Parse reads the text of a Release file. Only digests that count are taken: with weak also
// MD5 and SHA-1. Names of files that would leave the suite's directory are refused.
func Parse(text []byte, weak bool) (*State, error) {
	s := deb822.NewText(text, deb822.Syntax{Limit: maxRelease})
	if !s.Next() {
		if s.Err() != nil {
			return nil, failure.Malformed(s.Err())
		}
		return nil, failure.Syntax("it is empty")
	}
	st := &State{fields: map[string]string{}, files: map[string]Listed{}}
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
func (st *State) addFiles(section string, value []byte) error {
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
		if err != nil || size < 0 || !LocalName(name) {
			return failure.Syntax("%s: %q: bad size or name", section, deb822.Clip(line))
		}
		f, known := st.files[name]
		if known && f.Size != size {
			return failure.Syntax("%s: two sizes for %s", section, name)
		}
		before := f.Hashes
		f.Size = size
		if !f.Hashes.Add(section, string(words[0])) {
			return failure.Syntax("%s: %q: bad digest", section, deb822.Clip(line))
		}
		if got := f.Hashes; known && before != (hashes.Set{}) && overwritten(before, got) {
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

// LocalName reports whether a file name from an index stays below the directory it is relative to,
// and is fit for a URL and a log line.
func LocalName(name string) bool {
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
func (st *State) checkName(r aptconf.Repo) error {
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
