package fakedebian

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Mounts says which tree is served below which first path element: "debian", "debian-security".
type Mounts map[string]*Tree

// Server shows trees over HTTP, with conditional requests and ranges as mirrors have them, and
// counts what is asked for. Requests with another host's name in them (a proxy's requests) are
// answered by path alone: given as http_proxy it stands in for every mirror.
type Server struct {
	*httptest.Server

	mu       sync.Mutex
	mounts   Mounts
	faults   []*activeFault
	requests []Request
	user     string
	password string
}

// Request is one that the server has got.
type Request struct {
	Method, Path string // Path with the mount, without a leading "/"
	Host         string
	Range        string // the header
	Conditional  bool   // with If-Modified-Since or If-None-Match
	Status       int    // as answered; 0 while it is being answered
	Sent         int64  // bytes of the body
}

// Fault is one way of going wrong. The zero value of each field leaves that out; several may be
// combined.
type Fault struct {
	// Times is how often it happens before it heals; 0 is always.
	Times int
	// Status answers with this status and a short text.
	Status int
	// RetryAfter is said with the Status.
	RetryAfter string
	// Redirect answers with a redirection to this URL or path; to the requested path itself it is a
	// loop.
	Redirect string
	// Hang says nothing at all until the client gives up.
	Hang bool
	// CutAfter closes the connection after so many bytes of the body.
	CutAfter int64
	// StallAfter falls silent after so many bytes of the body, until the client gives up.
	StallAfter int64
	// Until is waited for before anything is said.
	Until <-chan struct{}
	// Slow is the pause before each kilobyte.
	Slow time.Duration
	// Shorten sends so many bytes less, with a Content-Length to match: what a truncated file on a
	// mirror looks like.
	Shorten int64
	// WrongLength promises so many bytes more than are sent.
	WrongLength int64
	// NoLength sends no Content-Length.
	NoLength bool
	// NoRanges ignores Range headers: always 200 and the whole file.
	NoRanges bool
	// WrongRange answers requests for a range with 206 and the file's beginning.
	WrongRange bool
	// NoValidators sends neither Last-Modified nor ETag and ignores conditions.
	NoValidators bool
	// Flip inverts the byte at this position of the body; 0 leaves it.
	Flip int64
	// Endless goes on with zeros after the file's end, without a Content-Length.
	Endless bool
}

type activeFault struct {
	Fault
	match *regexp.Regexp
	left  int // -1: for ever
}

// Serve starts a server for the length of the test.
func Serve(t testing.TB, mounts Mounts) *Server {
	s := unstarted(t, mounts)
	s.Start()
	return s
}

// ServeTLS starts one with https and a certificate that only Client trusts.
func ServeTLS(t testing.TB, mounts Mounts) *Server {
	s := unstarted(t, mounts)
	s.StartTLS()
	return s
}

// ServeMutualTLS starts one with https that answers only to who shows this certificate.
func ServeMutualTLS(t testing.TB, mounts Mounts, client *x509.Certificate) *Server {
	s := unstarted(t, mounts)
	pool := x509.NewCertPool()
	pool.AddCert(client)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		MinVersion: tls.VersionTLS12}
	s.StartTLS()
	return s
}

func unstarted(t testing.TB, mounts Mounts) *Server {
	s := &Server{mounts: mounts}
	s.Server = httptest.NewUnstartedServer(s)
	// Clients that give up are what tests want; the server need not tell.
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.close)
	return s
}

func (s *Server) close() {
	s.CloseClientConnections() // clients of hanging requests
	s.Close()
}

// URL is the address of a mount.
func (s *Server) URL(mount string) string { return s.Server.URL + "/" + mount }

// Mount replaces a tree, as when a mirror is updated.
func (s *Server) Mount(name string, tree *Tree) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mounts := Mounts{name: tree}
	for n, tr := range s.mounts {
		if n != name {
			mounts[n] = tr
		}
	}
	s.mounts = mounts
}

// Fault lets requests go wrong whose path (with the mount, without a leading "/") matches a regular
// expression. The first fault that matches and has not healed is used.
func (s *Server) Fault(pattern string, f Fault) {
	left := f.Times
	if left == 0 {
		left = -1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &activeFault{Fault: f, match: regexp.MustCompile(pattern),
		left: left})
}

// Heal takes all faults away.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// RequireAuth answers 401 to requests without this user and password (basic authentication).
func (s *Server) RequireAuth(user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user, s.password = user, password
}

// Requests lists what was asked for so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Count is how many requests had a path that matches a regular expression.
func (s *Server) Count(pattern string) int {
	match := regexp.MustCompile(pattern)
	n := 0
	for _, r := range s.Requests() {
		if match.MatchString(r.Path) {
			n++
		}
	}
	return n
}

// ResetCounts forgets the requests so far.
func (s *Server) ResetCounts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	index, tree, f, allowed := s.begin(name, r)
	counted := &countingWriter{ResponseWriter: w}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		// ResetCounts may have come in between.
		if index < len(s.requests) && s.requests[index].Path == name {
			s.requests[index].Status, s.requests[index].Sent = counted.status, counted.sent
		}
	}()
	if !allowed {
		w.Header().Set("WWW-Authenticate", `Basic realm="archive"`)
		http.Error(counted, "who are you?", http.StatusUnauthorized)
		return
	}
	if f.Until != nil {
		select {
		case <-f.Until:
		case <-r.Context().Done():
			return
		}
		tree = s.tree(name) // it may have been replaced meanwhile
	}
	switch {
	case f.Hang:
		<-r.Context().Done()
		return
	case f.Status != 0:
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		http.Error(counted, http.StatusText(f.Status), f.Status)
		return
	case f.Redirect != "":
		http.Redirect(counted, r, f.Redirect, http.StatusFound)
		return
	}
	_, rest, _ := strings.Cut(name, "/")
	c, ok := content{}, false
	if tree != nil {
		c, ok = tree.files[rest]
	}
	if !ok {
		http.Error(counted, "404 Not Found", http.StatusNotFound)
		return
	}
	body, err := c.open()
	if err != nil {
		http.Error(counted, err.Error(), http.StatusInternalServerError)
		return
	}
	defer body.Close()
	s.send(counted, r, f, c, body)
}

// begin records a request and chooses what happens to it.
func (s *Server) begin(name string, r *http.Request) (index int, tree *Tree, f Fault,
	allowed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := r.Header
	s.requests = append(s.requests, Request{
		Method: r.Method, Path: name, Host: r.Host, Range: h.Get("Range"),
		Conditional: h.Get("If-Modified-Since") != "" || h.Get("If-None-Match") != "",
	})
	allowed = true
	if s.user != "" {
		user, password, ok := r.BasicAuth()
		allowed = ok && user == s.user && password == s.password
	}
	for _, active := range s.faults {
		if active.left != 0 && active.match.MatchString(name) {
			active.left = max(active.left-1, -1)
			f = active.Fault
			break
		}
	}
	mount, _, _ := strings.Cut(name, "/")
	return len(s.requests) - 1, s.mounts[mount], f, allowed
}

// tree is what is served now where a path leads.
func (s *Server) tree(name string) *Tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	mount, _, _ := strings.Cut(name, "/")
	return s.mounts[mount]
}

// send answers with a file, and with what is wrong with it.
func (s *Server) send(w *countingWriter, r *http.Request, f Fault, c content, body io.ReadSeeker) {
	size, err := body.Seek(0, io.SeekEnd)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	if f.NoRanges {
		r.Header.Del("Range")
	}
	if f.NoValidators {
		r.Header.Del("If-Modified-Since")
		r.Header.Del("If-None-Match")
		r.Header.Del("If-Range")
	} else {
		h.Set("ETag", fmt.Sprintf(`"%x-%x"`, size, c.modified().Unix()))
	}
	modified := c.modified()
	if f.NoValidators {
		modified = time.Time{}
	}
	content := body
	if f.Shorten > 0 || f.Flip > 0 {
		if _, err = body.Seek(0, io.SeekStart); err == nil {
			var data []byte
			data, err = io.ReadAll(io.LimitReader(body, size-f.Shorten))
			if f.Flip > 0 && f.Flip < int64(len(data)) {
				data[f.Flip] ^= 0xff
			}
			content = bytes.NewReader(data)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.fault, w.request = f, r
	if f.WrongRange && r.Header.Get("Range") != "" {
		var first int64
		// What cannot be understood counts from the start.
		_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &first)
		h.Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", size-first-1, size))
		h.Set("Content-Length", fmt.Sprint(size-first))
		w.WriteHeader(http.StatusPartialContent)
		if _, err = content.Seek(0, io.SeekStart); err == nil {
			_, _ = io.CopyN(w, content, size-first) // the client may be gone
		}
		return
	}
	http.ServeContent(w, r, "", modified, content)
	if f.Endless {
		zeros := make([]byte, 32<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(zeros); err != nil {
				return
			}
		}
	}
}

// countingWriter counts what is sent, and goes wrong on the way.
type countingWriter struct {
	http.ResponseWriter
	fault   Fault
	request *http.Request
	status  int
	sent    int64
}

// WriteHeader adapts the length.
func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	h := w.Header()
	var n int64
	if _, err := fmt.Sscan(h.Get("Content-Length"), &n); err == nil && w.fault.WrongLength != 0 {
		h.Set("Content-Length", fmt.Sprint(n+w.fault.WrongLength))
	}
	if w.fault.NoLength || w.fault.Endless {
		h.Del("Content-Length")
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body.
func (w *countingWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	f := w.fault
	limit := f.CutAfter
	if f.StallAfter > 0 {
		limit = f.StallAfter
	}
	done := 0
	for done < len(b) {
		part := b[done:]
		if f.Slow > 0 {
			part = part[:min(len(part), 1000)]
			time.Sleep(f.Slow)
		}
		if limit > 0 {
			part = part[:min(int64(len(part)), limit-w.sent)]
			if len(part) == 0 {
				w.flush()
				if f.StallAfter > 0 {
					<-w.request.Context().Done()
				}
				panic(http.ErrAbortHandler) // net/http's way of closing the connection
			}
		}
		n, err := w.ResponseWriter.Write(part)
		done += n
		w.sent += int64(n)
		if err != nil {
			return done, err
		}
		if f.Slow > 0 {
			w.flush()
		}
	}
	return done, nil
}

func (w *countingWriter) flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}
