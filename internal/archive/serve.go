package archive

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server is an archive over HTTP for an apt that has no network: suites of a Client, as they were when it was made. It hands out nothing but their lists and the packages
// that these list, each fetched and verified when it is first asked for. Its Release files are not signed: who asks trusts it, and not what is behind it.
type Server struct {
	c      *Client
	suites []*servedSuite

	finding sync.Mutex // one at a time reads the lists: what asks may be hostile

	mu     sync.Mutex
	failed error
}

// servedSuite is one suite, below /N.
type servedSuite struct {
	dist       string
	release    []byte
	components []*servedComponent
}

type servedComponent struct {
	name  string
	lists []*list // one after the other they are its Packages
	size  int64
}

// NewServer makes a Server of repositories of the caller's own packages and of suites, for one architecture.
func (c *Client) NewServer(ctx context.Context, arch string, own []*Local, releases []*Release) (*Server, error) {
	s := &Server{c: c}
	for _, l := range own {
		lists := []*list{{path: l.List.Path, label: l.Repo.String(), repo: l.Repo, arch: arch}}
		if err := s.add("own", arch, ownFields(), []*servedComponent{{name: flatComponent, lists: lists}}); err != nil {
			return nil, err
		}
	}
	for _, r := range releases {
		var components []*servedComponent
		for _, name := range r.repo.IndexComponents() {
			component := &servedComponent{name: cmp.Or(name, flatComponent)}
			err := c.eachList(ctx, r, name, arch, func(l *list) error {
				component.lists = append(component.lists, l)
				return nil
			})
			switch {
			case errors.Is(err, ErrNoIndex): // apt leaves out what a suite does not list
			case err != nil:
				return nil, err
			default:
				components = append(components, component)
			}
		}
		dist := strings.Trim(strings.TrimSuffix(r.repo.Suite, "./"), "/")
		if err := s.add(cmp.Or(dist, "flat"), arch, releaseFields(r), components); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// flatComponent is what a repository without components has its packages in.
const flatComponent = "main"

func ownFields() string { return "Origin: nsbuild\nDate: " + releaseDate(time.Unix(0, 0)) + "\n" }

// releaseFields are those by which apt knows a suite (apt_preferences(5)).
func releaseFields(r *Release) string {
	var out strings.Builder
	fields := r.state().fields
	for _, name := range []string{"Origin", "Label", "Suite", "Codename", "Version", "NotAutomatic", "ButAutomaticUpgrades"} {
		if v := fields[strings.ToLower(name)]; v != "" {
			fmt.Fprintf(&out, "%s: %s\n", name, v)
		}
	}
	return out.String() + "Date: " + releaseDate(r.Date()) + "\n"
}

func releaseDate(t time.Time) string { return t.UTC().Format("Mon, 02 Jan 2006 15:04:05 UTC") }

// add makes the Release file of a suite.
func (s *Server) add(dist, arch, fields string, components []*servedComponent) error {
	var names []string
	var sums strings.Builder
	for _, c := range components {
		sum := sha256.New()
		size, err := c.copyTo(sum)
		if err != nil {
			return fmt.Errorf("cache: %w", err)
		}
		c.size = size
		names = append(names, c.name)
		fmt.Fprintf(&sums, " %x %d %s/binary-%s/Packages\n", sum.Sum(nil), size, c.name, arch)
	}
	release := fmt.Sprintf("%sArchitectures: %s\nComponents: %s\nSHA256:\n%s", fields, arch, strings.Join(names, " "), sums.String())
	s.suites = append(s.suites, &servedSuite{dist: dist, release: []byte(release), components: components})
	return nil
}

func (c *servedComponent) copyTo(w io.Writer) (size int64, err error) {
	for _, l := range c.lists {
		f, err := os.Open(l.path)
		if err != nil {
			return 0, err
		}
		from := io.Reader(f)
		if size > 0 { // a list's last paragraph may end without an empty line; of a list that is empty, apt wants none
			from = io.MultiReader(strings.NewReader("\n"), f)
		}
		n, err := io.Copy(w, from)
		if err = errors.Join(err, f.Close()); err != nil {
			return 0, err
		}
		size += n
	}
	return size, nil
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
			fmt.Fprintf(&out, "deb [trusted=yes] %s/%d %s %s\n", at, i, suite.dist, strings.Join(names, " "))
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

// What a client may do: apt opens a connection or two and asks at once.
const (
	maxClients     = 8
	clientPatience = 30 * time.Second
)

// Run answers on a listener until ctx ends, and closes it.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s, BaseContext: func(net.Listener) context.Context { return ctx }, ErrorLog: log.New(io.Discard, "", 0),
		ReadHeaderTimeout: clientPatience, MaxHeaderBytes: 16 << 10,
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })() // of a listener that nobody needs any more
	if err := server.Serve(&fewClients{l, make(chan struct{}, maxClients)}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving packages to a jail: %w", err)
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

// ServeHTTP answers GET and HEAD.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	if in, ok := strings.CutPrefix(name, "dists/"+suite.dist+"/"); ok {
		suite.serveIndex(w, r, in)
		return
	}
	f, err := s.open(r.Context(), suite, name)
	switch {
	case err != nil:
		if r.Context().Err() == nil {
			s.mu.Lock()
			s.failed = cmp.Or(s.failed, err)
			s.mu.Unlock()
		}
		w.WriteHeader(http.StatusBadGateway)
	case f == nil:
		w.WriteHeader(http.StatusNotFound)
	default:
		defer f.Close()
		http.ServeContent(w, r, "", time.Time{}, f)
	}
}

// open has the package with a file name in the cache; nil when the suite lists none.
func (s *Server) open(ctx context.Context, suite *servedSuite, filename string) (*os.File, error) {
	s.finding.Lock()
	p, err := suite.find(ctx, filename)
	s.finding.Unlock()
	if p == nil || err != nil {
		return nil, err
	}
	files, err := s.c.Debs(ctx, []*Package{p})
	if err != nil {
		return nil, err
	}
	return os.Open(files[p])
}

func (s *servedSuite) serveIndex(w http.ResponseWriter, r *http.Request, name string) {
	if name == "Release" {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.release))
		return
	}
	for _, c := range s.components {
		if strings.HasPrefix(name, c.name+"/binary-") && path.Base(name) == "Packages" {
			w.Header().Set("Content-Length", strconv.FormatInt(c.size, 10))
			if r.Method == http.MethodGet {
				// Whoever gets less than the length knows that it is not all.
				_, _ = c.copyTo(w)
			}
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

// errFound ends the reading of lists.
var errFound = errors.New("found")

// find is the package whose file has a name; nil when the suite lists none. The file is mostly called by the package's name, which spares reading the others.
func (s *servedSuite) find(ctx context.Context, filename string) (found *Package, err error) {
	name, _, _ := strings.Cut(path.Base(filename), "_")
	for _, want := range []func([]byte) bool{calledOnly(map[string]bool{name: true}), nil} {
		for _, c := range s.components {
			for _, l := range c.lists {
				err := eachParagraph(ctx, l.path, l.label, want, func(s *scanner) error {
					p, err := l.parse(s)
					if err == nil && l.takes(p.Architecture) && path.Clean(p.Filename) == filename {
						found, err = p, errFound
					}
					return err
				})
				if err != nil {
					if errors.Is(err, errFound) {
						return found, nil
					}
					return nil, err
				}
			}
		}
	}
	return nil, nil
}
