package fetch

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/regular"
)

// Host says how the host's apt reaches mirrors.
type Host interface {
	Proxy(u *url.URL) (*url.URL, error) // nil for none
	Credentials(u *url.URL) (login, password string, ok bool)
	TLS(host string) (*tls.Config, error)
	AllowRedirect(scheme string) bool
}

// transport opens URLs: http and https with the host's proxies, logins and certificates, file and
// copy from the disk. It knows retries and time limits, and nothing of hashes.
type transport struct {
	host Host
	// to connect, to the first byte of an answer, and between two portions of it
	timeout  time.Duration
	retries  int // after the first attempt
	parallel int // transfers from one host at a time

	mu      sync.Mutex
	clients map[string]*http.Client  // by scheme and host: TLS settings may differ
	slots   map[string]chan struct{} // by host
}

const (
	maxRedirects = 10
	// bytes that must arrive within a timeout, so that a mirror that drips does not hold us for
	// ever
	minPortion = 4 << 10
	userAgent  = "nsbuild"
)

// Answer is an opened URL.
type Answer struct {
	body         io.ReadCloser
	url          string // after redirects
	offset       int64  // where in the file the body begins
	size         int64  // of the whole file; -1 when not said
	NotModified  bool
	ETag         string
	LastModified time.Time
}

// Request says what to open.
type Request struct {
	URL    string
	offset int64 // resume from here, if the server can
	ETag   string
	Since  time.Time // both for a conditional request
	Fresh  bool      // ask proxies on the way not to answer from their caches
}

// statusError is an HTTP status that is not success.
type statusError struct {
	status int
	after  time.Duration // Retry-After
	err    error
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%d %s: %v", e.status, http.StatusText(e.status), e.err)
}
func (e *statusError) Unwrap() error { return e.err }

// attempts calls once until it succeeds, fails for good, or the retries are used up. Between
// attempts it waits a little longer each time.
func (t *transport) attempts(ctx context.Context, what string, once func() error) error {
	for n := 0; ; n++ {
		err := once()
		if err == nil || ctx.Err() != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		wait := min(5*time.Second, 200*time.Millisecond<<n)
		wait += rand.N(wait / 2)
		var status *statusError
		if errors.As(err, &status) {
			switch {
			case status.status == http.StatusRequestTimeout,
				status.status == http.StatusTooManyRequests, status.status >= 500:
				wait = max(wait, min(status.after, 30*time.Second))
			default:
				return err
			}
		} else if !temporary(err) {
			return err
		}
		if n >= t.retries {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// temporary reports whether an error may be gone the next time: all that the network does, save a
// name that does not exist and a certificate that is not to be trusted; and nothing that we or the
// disk found.
func temporary(err error) bool {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	if errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &cert) {
		return false
	}
	return errors.Is(err, failure.ErrUnreachable)
}

// open opens a URL once. Its errors wrap ErrUnreachable, ErrNotFound, ErrRefused or ErrUnsupported.
// The transfer holds one of its host's slots until the body is closed.
func (t *transport) open(ctx context.Context, r Request) (*Answer, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, failure.Syntax("URL %q: %v", r.URL, err)
	}
	switch u.Scheme {
	case "file", "copy":
		return openFile(u)
	case "http", "https":
		return t.openHTTP(ctx, u, r)
	}
	return nil, failure.New("use http, https, file or copy", "%s: scheme %q: %w", r.URL, u.Scheme,
		failure.ErrUnsupported)
}

func openFile(u *url.URL) (*Answer, error) {
	name := u.Path
	if u.Opaque != "" { // file:relative is not a thing; file:/x has Path
		return nil, failure.Syntax("URL %s: not an absolute file name", u)
	}
	if u.Host != "" && u.Host != "localhost" {
		return nil, failure.New("write file:///DIRECTORY", "%s: a file on another host: %w", u,
			failure.ErrUnsupported)
	}
	f, err := regular.Open(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, regular.ErrNotRegular) {
		return nil, fmt.Errorf("%w: %w", failure.ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Answer{body: f, url: u.String(), size: fi.Size(), LastModified: fi.ModTime()}, nil
}

func (t *transport) openHTTP(ctx context.Context, u *url.URL, r Request) (*Answer, error) {
	client, slot, err := t.client(u)
	if err != nil {
		return nil, err
	}
	select {
	case slot <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	release := func() { cancel(nil); <-slot }

	login, password, hasLogin := t.host.Credentials(u)
	plain := *u
	plain.User = nil
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, plain.String(), nil)
	if err != nil {
		release()
		return nil, failure.Syntax("URL %s: %v", plain.String(), err)
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept-Encoding", "identity")
	if hasLogin {
		req.SetBasicAuth(login, password)
	}
	if r.offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", r.offset))
	}
	if r.ETag != "" {
		req.Header.Set("If-None-Match", r.ETag)
	}
	if !r.Since.IsZero() {
		req.Header.Set("If-Modified-Since", r.Since.UTC().Format(http.TimeFormat))
	}
	if r.Fresh {
		req.Header.Set("Cache-Control", "max-age=0")
	}
	watch := newWatchdog(t.timeout, cancel)
	res, err := client.Do(req)
	if err != nil {
		watch.stop()
		cause := context.Cause(ctx)
		release()
		if errors.Is(cause, errStalled) {
			err = cause
		}
		if errors.Is(err, failure.ErrRefused) { // by redirect
			return nil, trimURLError(err)
		}
		return nil, fmt.Errorf("%w: %w", failure.ErrUnreachable, trimURLError(err))
	}
	watch.alive()
	a, err := t.accept(res, r)
	if err != nil || a.NotModified {
		watch.stop()
		// so that the connection can be used again, if it can
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
		_ = res.Body.Close()
		release()
		return a, err
	}
	a.body = &body{rc: res.Body, watch: watch, ctx: ctx, release: release}
	return a, nil
}

// accept judges an answer's status and headers.
func (t *transport) accept(res *http.Response, r Request) (*Answer, error) {
	a := &Answer{url: failure.PublicURI(res.Request.URL.String()), size: res.ContentLength,
		ETag: res.Header.Get("ETag")}
	if when, err := http.ParseTime(res.Header.Get("Last-Modified")); err == nil {
		a.LastModified = when
	}
	switch status := res.StatusCode; {
	case status == http.StatusOK:
		return a, nil
	case status == http.StatusPartialContent && r.offset > 0:
		var total string
		var first, last int64
		if n, _ := fmt.Sscanf(res.Header.Get("Content-Range"), "bytes %d-%d/%s", &first, &last,
			&total); n < 2 || first != r.offset {
			return nil, &statusError{status: http.StatusRequestedRangeNotSatisfiable,
				err: fmt.Errorf("%w: it answered with another range", failure.ErrRefused)}
		}
		a.offset, a.size = first, -1
		if n, err := strconv.ParseInt(total, 10, 64); err == nil {
			a.size = n
		}
		return a, nil
	case status == http.StatusNotModified && (r.ETag != "" || !r.Since.IsZero()):
		a.NotModified = true
		return a, nil
	case status == http.StatusNotFound || status == http.StatusGone:
		return nil, &statusError{status: status, err: failure.ErrNotFound}
	case status >= 500:
		return nil, &statusError{status: status, after: retryAfter(res.Header),
			err: failure.ErrUnreachable}
	default:
		return nil, &statusError{status: status, after: retryAfter(res.Header),
			err: failure.ErrRefused}
	}
}

// retryAfter is for how long a server wants to be left alone: it says so in seconds or as a time.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// trimURLError drops the method and URL that net/http puts in front: callers name the URL
// themselves, without credentials.
func trimURLError(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

// client returns the HTTP client and the slots for a URL's host.
func (t *transport) client(u *url.URL) (*http.Client, chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clients == nil {
		t.clients, t.slots = map[string]*http.Client{}, map[string]chan struct{}{}
	}
	slot, ok := t.slots[u.Host]
	if !ok {
		slot = make(chan struct{}, t.parallel)
		t.slots[u.Host] = slot
	}
	key := u.Scheme + "://" + u.Host
	if c, ok := t.clients[key]; ok {
		return c, slot, nil
	}
	tlsConfig, err := t.host.TLS(u.Hostname())
	if err != nil {
		return nil, nil, err
	}
	dialer := &net.Dialer{Timeout: t.timeout, KeepAlive: 30 * time.Second}
	c := &http.Client{
		Transport: &http.Transport{
			Proxy: func(r *http.Request) (*url.URL, error) {
				return t.host.Proxy(r.URL)
			},
			DialContext:           dialer.DialContext,
			TLSClientConfig:       tlsConfig,
			TLSHandshakeTimeout:   t.timeout,
			ResponseHeaderTimeout: t.timeout,
			MaxIdleConnsPerHost:   t.parallel,
			IdleConnTimeout:       time.Minute,
			DisableCompression:    true,
			ForceAttemptHTTP2:     true,
		},
		CheckRedirect: t.redirect,
	}
	t.clients[key] = c
	return c, slot, nil
}

// close ends the connections kept open.
func (t *transport) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.clients {
		c.CloseIdleConnections()
	}
}

// redirect follows a bounded number of redirects, never from https to anything less, and takes no
// password along to another place.
func (t *transport) redirect(req *http.Request, via []*http.Request) error {
	from := via[len(via)-1].URL
	switch {
	case !t.host.AllowRedirect(from.Scheme):
		return fmt.Errorf(
			"%w: it redirects to %s, and apt's Acquire::http::AllowRedirect forbids to follow",
			failure.ErrRefused, failure.PublicURI(req.URL.String()))
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: more than %d redirects", failure.ErrRefused, maxRedirects)
	case req.URL.Scheme != "http" && req.URL.Scheme != "https", from.Scheme == "https" &&
		req.URL.Scheme != "https":
		return fmt.Errorf("%w: it redirects from %s to %s", failure.ErrRefused, from.Scheme,
			req.URL.Scheme)
	}
	req.Header.Del("Authorization")
	req.Header.Del("Referer")
	login, password, ok := t.host.Credentials(req.URL)
	req.URL.User = nil
	if ok {
		req.SetBasicAuth(login, password)
	} else if original := via[0]; original.URL.Host == req.URL.Host &&
		original.URL.Scheme == req.URL.Scheme {
		if a := original.Header.Get("Authorization"); a != "" {
			req.Header.Set("Authorization", a)
		}
	}
	return nil
}

// errStalled is the cause of a transfer's end when the mirror sends nothing, or next to nothing,
// for the length of the timeout.
var errStalled = errors.New("the mirror stopped sending")

// watchdog cancels a transfer that makes no progress.
type watchdog struct {
	timer   *time.Timer
	timeout time.Duration
	got     int
}

func newWatchdog(timeout time.Duration, cancel context.CancelCauseFunc) *watchdog {
	return &watchdog{timeout: timeout,
		timer: time.AfterFunc(timeout, func() {
			cancel(fmt.Errorf("%w for %s", errStalled, timeout))
		})}
}

func (w *watchdog) alive() { w.timer.Reset(w.timeout) }
func (w *watchdog) stop()  { w.timer.Stop() }

func (w *watchdog) progress(n int) {
	if w.got += n; w.got >= minPortion {
		w.got = 0
		w.alive()
	}
}

// body is an HTTP body under a watchdog's eyes. Its read errors wrap ErrUnreachable.
type body struct {
	rc      io.ReadCloser
	watch   *watchdog
	ctx     context.Context
	release func()
	once    sync.Once
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.rc.Read(p)
	b.watch.progress(n)
	// An io.EOF inside another error is not the end of the file.
	if err != nil && err != io.EOF { //nolint:errorlint // see above
		if cause := context.Cause(b.ctx); errors.Is(cause, errStalled) {
			err = cause
		}
		err = fmt.Errorf("%w: %w", failure.ErrUnreachable, err)
	}
	return n, err
}

// Close may be called more than once.
func (b *body) Close() error {
	err := error(nil)
	b.once.Do(func() {
		b.watch.stop()
		err = b.rc.Close()
		b.release()
	})
	return err
}
