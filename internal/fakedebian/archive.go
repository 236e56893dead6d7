// Package fakedebian makes small signed Debian archives for tests: with real formats, made-up
// packages, and every fault that a mirror can have.
//
// No network, no root and no tool of the host is needed. An Archive holds suites, a Suite packages
// and sources; Tree signs it all and yields the files of a mirror, which can then be damaged one by
// one; Serve shows trees over HTTP, with the faults of a bad connection. It shares no code with the
// packages it serves to test.
//
//	a := fakedebian.New(t)
//	s := a.Suite("bookworm")
//	s.Add(fakedebian.Package{Name: "hello", Files: []fakedebian.File{{Path: "usr/bin/hello", Body: "#!/bin/sh\n", Mode: 0o755}}})
//	tree := a.Tree()
//	tree.Flip("dists/bookworm/InRelease", 200)
//	srv := fakedebian.Serve(t, fakedebian.Mounts{"debian": tree})
//	… srv.URL("debian"), fakedebian.Keyring(t, fakedebian.KeyArchive) …
//
// What tests expect of the faults is theirs.
package fakedebian

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Archive is a mirror's content before it is signed: suites over one pool.
type Archive struct {
	t      testing.TB
	suites []*Suite
	pool   map[string]content
}

// Suite is one directory below dists. Its fields may be changed until Tree is called, and again
// before the next call.
type Suite struct {
	archive *Archive

	Codename string // the directory's name
	// the Release file's Suite field; another name for the directory too, when it differs. Default
	// Codename.
	Suite   string
	Version string
	Origin  string // default Debian
	Label   string // default Origin
	// Architectures default to amd64. Packages of architecture all are listed in the index of each.
	Architectures []string
	// Components are listed even when empty; default main, and each that something was added to.
	Components []string
	// Date of the Release file and of its signatures; default an hour ago. ValidUntil is left out
	// when zero.
	Date, ValidUntil time.Time
	NoDate           bool
	// Keys sign the Release file; default KeyArchive. An empty list that is not nil leaves it
	// unsigned.
	Keys []*Key
	// InRelease and Detached say which forms of signed Release file there are; default both.
	InRelease, Detached bool
	// ByHash makes the by-hash directories and says so in the Release file; default true.
	ByHash bool
	// Hashes listed in the Release file and in Packages; default MD5 and SHA256.
	Hashes []Hash
	// Compressions of the indices that are there; default XZ and Gzip. The Release file lists the
	// uncompressed ones always, as Debian's does.
	Compressions []Compression
	// Fields are further fields of the Release file.
	Fields []Field
	// Contents are lists of files, by names like "main/Contents-amd64". As Debian's they are there
	// packed by gzip alone, and listed in the Release file both ways.
	Contents map[string]string
	// MutateRelease and MutateIndex, when set, change the text before it is hashed and signed. The
	// index's name is like "main/binary-amd64/Packages".
	MutateRelease func(text string) string
	MutateIndex   func(name, text string) string

	packages []entry
	sources  []entry
}

// entry is a paragraph of an index; hashes are added when it is written, for those are options.
type entry struct {
	component    string
	architecture string
	fields       fields
	file         string // the pool's path of a .deb
	members      []Member
	directory    string // of a source
}

// New starts an empty archive. What cannot be made fails the test.
func New(t testing.TB) *Archive {
	return &Archive{t: t, pool: map[string]content{}}
}

// Suite adds a suite.
func (a *Archive) Suite(codename string) *Suite {
	s := &Suite{
		archive: a, Codename: codename, Suite: codename, Origin: "Debian",
		Architectures: []string{"amd64"}, Components: []string{"main"},
		Date: time.Now().UTC().Add(-time.Hour).Truncate(time.Second),
		Keys: []*Key{KeyOf(a.t, KeyArchive)}, InRelease: true, Detached: true,
		ByHash: true, Hashes: []Hash{MD5, SHA256}, Compressions: []Compression{XZ, Gzip},
	}
	a.suites = append(a.suites, s)
	return s
}

// Add puts packages into component main.
func (s *Suite) Add(packages ...Package) {
	s.archive.t.Helper()
	s.AddTo("main", packages...)
}

// AddTo puts packages into a component.
func (s *Suite) AddTo(component string, packages ...Package) {
	t := s.archive.t
	t.Helper()
	for _, p := range packages {
		source := p.Source
		if source == "" {
			source = p.Name
		}
		s.addDeb(component, poolDir(component, source)+p.filename(), content{data: p.Deb(t)},
			p.Control())
	}
}

// AddDeb puts a real .deb file into a component. Its index paragraph is its own control file.
func (s *Suite) AddDeb(component, file string) {
	t := s.archive.t
	t.Helper()
	control, err := readControl(file)
	if err != nil {
		t.Fatalf("reading %s: %v", file, err)
	}
	f := parseFields(control)
	source, _, _ := strings.Cut(f.get("Source"), " ")
	if source == "" {
		source = f.get("Package")
	}
	name := fmt.Sprintf("%s_%s_%s.deb", f.get("Package"), withoutEpoch(f.get("Version")),
		f.get("Architecture"))
	s.addDeb(component, poolDir(component, source)+name, content{file: file}, control)
}

func (s *Suite) addDeb(component, file string, c content, control string) {
	s.component(component)
	s.archive.pool[file] = c
	f := parseFields(control)
	s.packages = append(s.packages, entry{component: component, architecture: f.get("Architecture"),
		fields: f, file: file})
}

// AddSource puts source packages into component main.
func (s *Suite) AddSource(sources ...Source) {
	s.archive.t.Helper()
	s.AddSourceTo("main", sources...)
}

// AddSourceTo puts source packages into a component.
func (s *Suite) AddSourceTo(component string, sources ...Source) {
	t := s.archive.t
	t.Helper()
	s.component(component)
	for _, source := range sources {
		source.defaults()
		members := source.Build(t)
		directory := strings.TrimSuffix(poolDir(component, source.Name), "/")
		for _, m := range members {
			s.archive.pool[directory+"/"+m.Name] = content{data: m.Data}
		}
		f := source.paragraph()
		f[slices.IndexFunc(f, func(f Field) bool { return f.Name == "Source" })].Name = "Package"
		f.add("Section", source.Section)
		f.add("Priority", "optional")
		s.sources = append(s.sources, entry{component: component, fields: f, members: members,
			directory: directory})
	}
}

func (s *Suite) component(name string) {
	if !slices.Contains(s.Components, name) {
		s.Components = append(s.Components, name)
	}
}

// poolDir is where a source's files are: pool/main/h/hello/, pool/main/libh/libhello/.
func poolDir(component, source string) string {
	n := 1
	if strings.HasPrefix(source, "lib") && len(source) > 3 {
		n = 4
	}
	return "pool/" + component + "/" + source[:min(n, len(source))] + "/" + source + "/"
}

// Tree writes indices, signs them, and returns the files of a mirror. Each call makes a new one, so
// that a mirror can change while it is read.
func (a *Archive) Tree() *Tree {
	a.t.Helper()
	tree := &Tree{t: a.t, files: map[string]content{}}
	for name, c := range a.pool {
		tree.files[name] = c
	}
	for _, s := range a.suites {
		if err := s.write(tree); err != nil {
			a.t.Fatalf("making suite %s: %v", s.Codename, err)
		}
	}
	return tree
}

func (s *Suite) write(tree *Tree) error {
	indices := map[string][]byte{}
	for _, component := range s.Components {
		for _, arch := range s.Architectures {
			dir := component + "/binary-" + arch
			text, err := s.packagesIndex(tree, component, arch)
			if err != nil {
				return err
			}
			if err := s.index(indices, dir+"/Packages", text); err != nil {
				return err
			}
			indices[dir+"/Release"] = []byte(s.shortRelease(component, arch))
		}
		if err := s.index(indices, component+"/source/Sources",
			s.sourcesIndex(component)); err != nil {
			return err
		}
		indices[component+"/source/Release"] = []byte(s.shortRelease(component, "source"))
	}
	for name, text := range s.Contents {
		packed, err := Gzip.compress([]byte(text))
		if err != nil {
			return err
		}
		indices[name], indices[name+".gz"] = []byte(text), packed
	}
	release := s.release(indices)
	if s.MutateRelease != nil {
		release = s.MutateRelease(release)
	}
	out := map[string][]byte{"Release": []byte(release)}
	if len(s.Keys) > 0 && s.InRelease {
		out["InRelease"] = Clearsigned(tree.t, release, s.Date, s.Keys...)
	}
	if len(s.Keys) > 0 && s.Detached {
		out["Release.gpg"] = Detached(tree.t, []byte(release), s.Date, s.Keys...)
	}
	for name, data := range indices {
		isIndex := path.Base(name) == "Packages" || path.Base(name) == "Sources"
		_, isContents := s.Contents[name]
		if !isContents && (!isIndex || slices.Contains(s.Compressions, None)) {
			out[name] = data
		}
		if s.ByHash {
			for _, h := range s.Hashes {
				out[path.Dir(name)+"/by-hash/"+string(h)+"/"+h.sum(data)] = data
			}
		}
	}
	for _, dir := range []string{s.Codename, s.Suite} {
		for name, data := range out {
			tree.files["dists/"+dir+"/"+name] = content{data: data, mtime: s.Date}
		}
	}
	return nil
}

// index adds an index, plain and in each compression.
func (s *Suite) index(indices map[string][]byte, name, text string) error {
	if s.MutateIndex != nil {
		text = s.MutateIndex(name, text)
	}
	indices[name] = []byte(text)
	for _, c := range s.Compressions {
		data, err := c.compress([]byte(text))
		if err != nil {
			return err
		}
		indices[name+c.suffix()] = data
	}
	return nil
}

func (s *Suite) packagesIndex(tree *Tree, component, arch string) (string, error) {
	var paragraphs []string
	for _, e := range s.packages {
		if e.component != component || e.architecture != arch && e.architecture != "all" {
			continue
		}
		r, err := tree.files[e.file].open()
		if err != nil {
			return "", err
		}
		hashes, size, err := sums(r, s.Hashes)
		if err == nil {
			err = r.Close()
		}
		if err != nil {
			return "", err
		}
		f := slices.Clone(e.fields)
		f.add("Filename", e.file)
		f.add("Size", fmt.Sprint(size))
		for _, h := range s.Hashes {
			f.add(h.indexField(), hashes[h])
		}
		paragraphs = append(paragraphs, f.String())
	}
	return strings.Join(paragraphs, "\n"), nil
}

func (s *Suite) sourcesIndex(component string) string {
	var paragraphs []string
	for _, e := range s.sources {
		if e.component != component {
			continue
		}
		f := slices.Clone(e.fields)
		f.add("Directory", e.directory)
		for _, h := range s.Hashes {
			f.add(h.dscField(), listing(h, e.members))
		}
		paragraphs = append(paragraphs, f.String())
	}
	return strings.Join(paragraphs, "\n")
}

// shortRelease is the Release file beside an index, which nobody verifies.
func (s *Suite) shortRelease(component, arch string) string {
	f := fields{}
	f.add("Archive", s.Suite)
	f.add("Origin", s.Origin)
	f.add("Label", s.label())
	f.add("Component", component)
	f.add("Architecture", arch)
	return f.String()
}

func (s *Suite) label() string {
	if s.Label == "" {
		return s.Origin
	}
	return s.Label
}

func (s *Suite) release(indices map[string][]byte) string {
	f := fields{}
	f.add("Origin", s.Origin)
	f.add("Label", s.label())
	f.add("Suite", s.Suite)
	f.add("Version", s.Version)
	f.add("Codename", s.Codename)
	if !s.NoDate {
		f.add("Date", releaseDate(s.Date))
	}
	if !s.ValidUntil.IsZero() {
		f.add("Valid-Until", releaseDate(s.ValidUntil))
	}
	if s.ByHash {
		f.add("Acquire-By-Hash", "yes")
	}
	f.add("Architectures", strings.Join(append([]string{"all"}, s.Architectures...), " "))
	f.add("Components", strings.Join(s.Components, " "))
	f.add("Description", "made-up archive "+s.Codename)
	f = append(f, s.Fields...)
	f.add("No-Support-for-Architecture-all", "Packages")
	for _, h := range s.Hashes {
		var b strings.Builder
		for _, name := range sortedKeys(indices) {
			fmt.Fprintf(&b, "\n%s %8d %s", h.sum(indices[name]), len(indices[name]), name)
		}
		f.add(string(h), b.String())
	}
	return f.String()
}

func releaseDate(d time.Time) string { return d.UTC().Format("Mon, 02 Jan 2006 15:04:05 UTC") }

// AddDir puts each .deb file of a directory into a component.
func (s *Suite) AddDir(component, dir string) {
	t := s.archive.t
	t.Helper()
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		t.Fatal(err)
	}
	if len(debs) == 0 {
		if _, err := os.Stat(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range debs {
		s.AddDeb(component, d)
	}
}
