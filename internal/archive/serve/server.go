package serve

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/archive/release"
)

// Source is where a Server has lists and packages from.
type Source interface {
	// EachList has the lists of a component and an architecture in the cache and calls fn for each.
	EachList(ctx context.Context, r *release.File, component, arch string,
		fn func(*index.List) error) error
	// Debs has the packages' files in the cache.
	Debs(ctx context.Context, packages []*index.Package) (map[*index.Package]string, error)
}

// Server is an archive over HTTP for an apt that has no network: suites of a Source, as they were
// when it was made. It hands out nothing but their lists and the packages that these list, each
// fetched and verified when it is first asked for. Its Release files are not signed: who asks
// trusts it, and not what is behind it; who asks is not trusted.
type Server struct {
	from   Source
	suites []*servedSuite

	answering sync.RWMutex // held by each answer

	mu     sync.Mutex
	left   int64 // bytes of packages that may still be asked for
	given  map[*servedAt]bool
	failed error
}

// servedSuite is one suite, below /N.
type servedSuite struct {
	dist       string
	release    []byte
	components []*servedComponent
	packages   map[string]*servedAt // by the names of their files
}

// servedAt is where a package is described.
type servedAt struct {
	list   *servedList
	offset int64
}

type servedComponent struct {
	index string // what its Packages file is called, below the suite's directory
	name  string
	lists []*servedList // one after the other they are that file
	size  int64
}

// servedList is a list that stays open: the cache may be cleaned meanwhile.
type servedList struct {
	index.List
	f    *os.File
	size int64
}

// What may be asked of a Server: apt opens a connection or two and asks at once, and no package
// needs all of an archive.
const (
	maxClients     = 8
	clientPatience = 30 * time.Second
	maxHandedOut   = 16 << 30 // bytes of packages
)

// New makes a Server of repositories of the caller's own packages and of suites, for one
// architecture.
func New(ctx context.Context, from Source, arch string, own []*pool.Local,
	releases []*release.File) (*Server, error) {
	s := &Server{from: from, left: maxHandedOut, given: map[*servedAt]bool{}}
	for _, l := range own {
		lists := map[string][]index.List{"": {{Path: l.List.Path, Label: l.Repo.String(),
			Repo: l.Repo}}}
		if err := s.add(arch, "own", "Origin: nsbuild\nCodename: own\nDate: "+
			time.Unix(0, 0).UTC().Format(time.RFC1123)+"\n", []string{""}, lists); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	for _, r := range releases {
		lists, components := map[string][]index.List{}, r.Repo().IndexComponents()
		for _, component := range components {
			err := from.EachList(ctx, r, component, arch, func(l *index.List) error {
				lists[component] = append(lists[component], *l)
				return nil
			})
			// apt leaves out what a suite does not list
			if err != nil && !errors.Is(err, failure.ErrNoIndex) {
				return nil, errors.Join(err, s.Close())
			}
		}
		dist, fields := releaseFields(r)
		if err := s.add(arch, dist, fields, components, lists); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// releaseFields are those by which apt knows a suite (apt_preferences(5)), and what it is called in
// a sources.list.
func releaseFields(r *release.File) (dist, text string) {
	var out strings.Builder
	repo, st := r.Repo(), r.State()
	for _, name := range []string{"Origin", "Label", "Suite", "Codename", "Version", "NotAutomatic",
		"ButAutomaticUpgrades"} {
		if v := st.Field(strings.ToLower(name)); v != "" {
			fmt.Fprintf(&out, "%s: %s\n", name, v)
		}
	}
	dist = repo.Suite
	if repo.Flat() {
		if dist = cmp.Or(st.Field("codename"), st.Field("suite")); dist == "" ||
			strings.ContainsAny(dist, " \t\n/") {
			dist = "flat"
		}
		if st.Field("codename") == "" {
			fmt.Fprintf(&out, "Codename: %s\n", dist)
		}
	}
	return dist, out.String() + "Date: " + st.Date().UTC().Format(time.RFC1123) + "\n"
}

// add reads the lists of a suite and makes its Release file.
func (s *Server) add(arch, dist, fields string, components []string,
	lists map[string][]index.List) error {
	suite := &servedSuite{dist: dist, packages: map[string]*servedAt{}}
	s.suites = append(s.suites, suite)
	var names []string
	var sums strings.Builder
	for _, component := range components {
		if len(lists[component]) == 0 {
			continue
		}
		name := cmp.Or(component, "main") // a flat repository has none
		c := &servedComponent{index: name + "/binary-" + arch + "/Packages", name: name}
		suite.components = append(suite.components, c)
		for _, l := range lists[component] {
			served, err := suite.read(l)
			if err != nil {
				return err
			}
			c.lists = append(c.lists, served)
		}
		sum := sha256.New()
		var err error
		if c.size, err = io.Copy(sum, c.reader()); err != nil {
			return fmt.Errorf("cache: %w", err)
		}
		names = append(names, name)
		fmt.Fprintf(&sums, " %x %d %s\n", sum.Sum(nil), c.size, c.index)
	}
	suite.release = fmt.Appendf(nil, "%sArchitectures: %s\nComponents: %s\nSHA256:\n%s", fields,
		arch, strings.Join(names, " "), sums.String())
	return nil
}

// read opens a list and notes where it describes which file.
func (s *servedSuite) read(l index.List) (*servedList, error) {
	f, err := os.Open(l.Path)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	served := &servedList{List: l, f: f}
	in := index.Scan(f)
	in.Want = func(raw []byte) bool {
		for line := range bytes.Lines(raw) {
			if name, ok := bytes.CutPrefix(line, []byte("Filename:")); ok {
				name := strings.TrimPrefix(string(bytes.TrimSpace(name)), "./")
				if s.packages[name] == nil { // of several that say so, apt takes the first
					s.packages[name] = &servedAt{served, in.Offset()}
				}
				break
			}
		}
		return false
	}
	in.Next() // all of it is unwanted
	st, err := f.Stat()
	if err = cmp.Or(failure.Malformed(in.Err()), err); err != nil {
		return nil, errors.Join(failure.WithHint(fmt.Errorf("%s: %w", l.Label, err)), f.Close())
	}
	served.size = st.Size()
	return served, nil
}

// reader reads the lists one after the other. A list's last paragraph may end without an empty
// line; in front of all, and in a list that is empty, apt wants none.
func (c *servedComponent) reader() io.Reader {
	var parts []io.Reader
	for _, l := range c.lists {
		if l.size > 0 {
			if len(parts) > 0 {
				parts = append(parts, strings.NewReader("\n\n"))
			}
			parts = append(parts, io.NewSectionReader(l.f, 0, l.size))
		}
	}
	return io.MultiReader(parts...)
}

// Close closes the lists.
func (s *Server) Close() error {
	var errs []error
	for _, suite := range s.suites {
		for _, c := range suite.components {
			for _, l := range c.lists {
				errs = append(errs, l.f.Close())
			}
		}
	}
	return errors.Join(errs...)
}

// SourcesList is the sources.list(5) of whom the server answers at a URL.
func (s *Server) SourcesList(at string) string {
	var out strings.Builder
	for i, suite := range s.suites {
		var names []string
		for _, c := range suite.components {
			names = append(names, c.name)
		}
		if len(names) > 0 {
			fmt.Fprintf(&out, "deb [trusted=yes] %s/%d %s %s\n", at, i, suite.dist,
				strings.Join(names, " "))
		}
	}
	return out.String()
}

// Failed is why something that the suites list could not be had, nil when all could.
func (s *Server) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *Server) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = cmp.Or(s.failed, err)
}

// Run answers on a listener until ctx ends, and closes it. When it returns nothing is answered any
// more.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.answer(ctx, w, r)
		}),
		ReadHeaderTimeout: clientPatience, IdleTimeout: clientPatience, MaxHeaderBytes: 16 << 10,
	}
	// of a listener that nobody needs any more
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	err := server.Serve(&fewClients{l, make(chan struct{}, maxClients)})
	_ = server.Close() // of whatever is still connected
	s.answering.Lock() // for good
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving packages: %w", err)
	}
	return nil
}

// fewClients has no more connections than its channel takes; others wait.
type fewClients struct {
	net.Listener
	open chan struct{}
}

func (l *fewClients) Accept() (net.Conn, error) {
	l.open <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.open
		return nil, err
	}
	return &oneOfFew{Conn: c, leave: sync.OnceFunc(func() { <-l.open })}, nil
}

type oneOfFew struct {
	net.Conn
	leave func()
}

func (c *oneOfFew) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// answer answers GET and HEAD.
func (s *Server) answer(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if !s.answering.TryRLock() {
		return
	}
	defer s.answering.RUnlock()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	first, name, _ := strings.Cut(strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/"), "/")
	i, err := strconv.Atoi(first)
	if err != nil || i < 0 || i >= len(s.suites) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	suite := s.suites[i]
	if in, ok := strings.CutPrefix(name, "dists/"+suite.dist+"/"); ok &&
		s.answerIndex(w, r, suite, in) {
		return
	}
	s.answerPackage(ctx, w, r, suite.packages[name])
}

// answerIndex answers with the Release file or a Packages file; false when it is neither.
func (s *Server) answerIndex(w http.ResponseWriter, r *http.Request, suite *servedSuite,
	name string) bool {
	if name == "Release" {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(suite.release))
		return true
	}
	for _, c := range suite.components {
		if name != c.index {
			continue
		}
		w.Header().Set("Content-Length", strconv.FormatInt(c.size, 10))
		if r.Method == http.MethodGet {
			_, err := io.Copy(w, c.reader())
			// the list; a client may leave when it likes
			if broken := (*fs.PathError)(nil); errors.As(err, &broken) {
				s.fail(fmt.Errorf("cache: %w", err))
			}
		}
		return true
	}
	return false
}

// answerPackage answers with a package. It is fetched to its end even if the client leaves before:
// apt loses patience with a mirror that is slower than ours, asks again, and finds it here.
func (s *Server) answerPackage(ctx context.Context, w http.ResponseWriter, r *http.Request,
	at *servedAt) {
	if at == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	p, err := at.read()
	if err == nil {
		err = s.take(at, p.Size)
	}
	var f *os.File
	switch {
	case err != nil:
	case r.Method == http.MethodHead:
		w.Header().Set("Content-Length", strconv.FormatInt(p.Size, 10))
		return
	default:
		var files map[*index.Package]string
		if files, err = s.from.Debs(ctx, []*index.Package{p}); err == nil {
			f, err = os.Open(files[p])
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			s.fail(err)
		}
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer f.Close()
	http.ServeContent(w, r, "", time.Time{}, f)
}

// take counts what is asked for.
func (s *Server) take(at *servedAt, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given[at] {
		return nil
	}
	if size > s.left {
		return fmt.Errorf("packages of more than %d GiB were asked for", maxHandedOut>>30)
	}
	s.left -= size
	s.given[at] = true
	return nil
}

// read is the package that is described there.
func (at *servedAt) read() (*index.Package, error) {
	l := at.list
	s := index.Scan(io.NewSectionReader(l.f, at.offset, l.size-at.offset))
	if !s.Next() {
		return nil, fmt.Errorf("%s: %w", l.Label,
			cmp.Or(failure.Malformed(s.Err()), io.ErrUnexpectedEOF))
	}
	return l.Parse(s)
}
