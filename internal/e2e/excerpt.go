package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nsbuild/internal/fakedebian"
)

// installed are packages that tests install, beside those that Debian says every system or every
// build has. What they depend on comes with them.
const installed = `
	aptitude apt-utils blhc ccache debhelper eatmydata ed fakeroot file gettext-base hello hostname
	libfaketime libtext-charwidth-perl libtext-unidecode-perl lintian patch piuparts rename tree tzdata
	usr-is-merged`

// madeUp is what stands in the excerpt for a package of Debian that debhelper depends on. The real
// man-db reads every manual page of the system when it is installed, and again whenever a package
// has some: a second of processor time for each layer with debhelper, of which no test learns
// anything. With the archive's own, RealWorld's layers are made.
func madeUp() fakedebian.Package {
	return fakedebian.Package{Name: "man-db", Version: "2.99-1", MultiArch: "foreign",
		Provides: "man, man-browser"}
}

// excerpt is an archive that lists some 500 of bookworm's packages, by the very paragraphs of its
// mirror, and leads to that mirror's files. It is signed with a key of the tests.
//
// An apt needs half a second of processor time for all of bookworm, whatever it does, which is more
// than most tests need for everything else.
type excerpt struct {
	dir    string           // the archive, without the packages
	server *httptest.Server // of this process
}

const (
	excerptArchive  = "archive" // the name of its directory
	excerptKeyring  = "keyring.gpg"
	excerptArchives = "archives" // URLs, by the number that the name of a file begins with
	// excerptHost is where the archive is for all processes: each takes its own server for the
	// proxy to it.
	excerptHost = "excerpt.example"
)

// line is the archive's line of a sources.list.
func (x *excerpt) line() string {
	return fmt.Sprintf("deb [signed-by=%s] http://%s bookworm main",
		filepath.Join(x.dir, excerptKeyring), excerptHost)
}

// write makes an excerpt of the lists that a base was made with.
func (x *excerpt) write(t *testing.T, w *World) {
	t.Helper()
	archives, security, err := w.archives()
	Check(t, err)
	index, err := w.excerpt(security)
	Check(t, err)
	archive := fakedebian.New(t)
	suite := archive.Suite("bookworm")
	suite.Add(madeUp())
	suite.MutateIndex = func(name, text string) string {
		if name == "main/binary-amd64/Packages" {
			return index + text
		}
		return text
	}
	tree := archive.Tree()
	files := map[string][]byte{
		excerptKeyring:  fakedebian.KeyOf(t, fakedebian.KeyArchive).Public(t),
		excerptArchives: []byte(strings.Join(archives, "\n")),
	}
	for _, name := range tree.Paths() {
		files[name] = tree.Read(name)
	}
	for name, text := range files {
		name = filepath.Join(x.dir, name)
		Check(t, os.MkdirAll(filepath.Dir(name), 0o700))
		Check(t, os.WriteFile(name, text, 0o600))
	}
}

// excerpt is the index of an excerpt of what a world has fetched.
func (w *World) excerpt(security int) (string, error) {
	var all []paragraph
	err := filepath.WalkDir(filepath.Join(w.Cache, "lists"),
		func(name string, f fs.DirEntry, err error) error {
			if err != nil || !f.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(name)
			if bytes.HasPrefix(text, []byte("Package: ")) {
				all = append(all, slices.DeleteFunc(paragraphs(string(text)),
					func(p paragraph) bool { return p["Package"] == madeUp().Name })...)
			}
			return err
		})
	if err != nil {
		return "", err
	}
	chosen := closure(all)
	var index strings.Builder
	for _, p := range all {
		if !chosen[p["Package"]] {
			continue
		}
		archive := 0
		if strings.HasPrefix(p["Filename"], "pool/updates/") {
			archive = security
		}
		file := "\nFilename: "
		fmt.Fprintf(&index, "%s\n\n",
			strings.Replace(p[""], file, file+strconv.Itoa(archive)+"/", 1))
	}
	return index.String(), nil
}

// archives are the URLs that the base of a world comes from, and the number of that with security
// updates, whose files have names of their own.
func (w *World) archives() (urls []string, security int, err error) {
	files, err := filepath.Glob(filepath.Join(w.State, "bases/bookworm/gen-*/manifest.json"))
	if err != nil || len(files) != 1 {
		return nil, 0, errors.Join(err, fmt.Errorf("manifests of the base: %q", files))
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return nil, 0, err
	}
	var m struct{ Releases []struct{ URI, Suite string } }
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, 0, err
	}
	for i, r := range m.Releases {
		urls = append(urls, r.URI)
		if strings.HasSuffix(r.Suite, "-security") {
			security = i
		}
	}
	return urls, security, nil
}

// paragraph has the fields of one, and at "" its text.
type paragraph map[string]string

func paragraphs(index string) (all []paragraph) {
	for text := range strings.SplitSeq(strings.TrimSpace(index), "\n\n") {
		p := paragraph{"": text}
		for line := range strings.SplitSeq(text, "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
				p[name] = strings.TrimSpace(value)
			}
		}
		all = append(all, p)
	}
	return all
}

// names are those of the packages in relations, with all alternatives.
func names(relations string) (out []string) {
	for _, one := range strings.FieldsFunc(relations, func(r rune) bool {
		return r == ',' || r == '|'
	}) {
		name, _, _ := strings.Cut(strings.TrimSpace(one), " ")
		name, _, _ = strings.Cut(name, ":")
		out = append(out, name)
	}
	return out
}

// closure are the names of the packages that tests install, and of all that these can depend on.
func closure(all []paragraph) map[string]bool {
	called, providers := map[string][]paragraph{}, map[string][]string{}
	todo := strings.Fields(installed)
	for _, p := range all {
		called[p["Package"]] = append(called[p["Package"]], p)
		for _, name := range names(p["Provides"]) {
			providers[name] = append(providers[name], p["Package"])
		}
		if p["Essential"] == "yes" || p["Build-Essential"] == "yes" ||
			p["Priority"] == "required" || p["Priority"] == "important" {
			todo = append(todo, p["Package"])
		}
	}
	seen := map[string]bool{}
	for len(todo) > 0 {
		name := todo[len(todo)-1]
		if todo = todo[:len(todo)-1]; seen[name] {
			continue
		}
		seen[name] = true
		for _, p := range called[name] {
			todo = append(todo, names(p["Depends"])...)
			todo = append(todo, names(p["Pre-Depends"])...)
		}
		todo = append(todo, providers[name]...)
	}
	return seen
}

// serve starts a server for this process, and leads nsbuild there by a configuration of apt.
func (x *excerpt) serve(t *testing.T) {
	t.Helper()
	archives := strings.Split(Read(t, filepath.Join(x.dir, excerptArchives)), "\n")
	files := http.FileServer(http.Dir(x.dir))
	x.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		number, file, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if n, err := strconv.Atoi(number); err == nil && n >= 0 && n < len(archives) {
			http.Redirect(w, r, archives[n]+"/"+file, http.StatusFound)
			return
		}
		files.ServeHTTP(w, r)
	}))
	conf := filepath.Join(current.dir, "apt.conf")
	Check(t, os.WriteFile(conf, fmt.Appendf(nil, "Acquire::http::Proxy::%s \"%s\";\n", excerptHost,
		x.server.URL), 0o644))
	Check(t, os.Setenv("APT_CONFIG", conf))
}
