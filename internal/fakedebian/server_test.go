package fakedebian_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/fakedebian"
)

var fakedebianTime = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

const file = "debian/pool/main/b/big/big_1.0-1_all.deb"

func big(t *testing.T) (*fakedebian.Server, []byte) {
	t.Helper()
	a := fakedebian.New(t)
	a.Suite("bookworm").Add(fakedebian.Package{Name: "big", DataCompression: fakedebian.None,
		Files: []fakedebian.File{{Path: "big", Body: strings.Repeat("0123456789", 5000)}}})
	tree := a.Tree()
	return fakedebian.Serve(t, fakedebian.Mounts{"debian": tree}),
		tree.Read(strings.TrimPrefix(file, "debian/"))
}

type answer struct {
	*http.Response
	body []byte
	err  error // of reading the body
}

func get(t *testing.T, s *fakedebian.Server, name string, header ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Server.URL+"/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	a := answer{Response: resp}
	a.body, a.err = io.ReadAll(resp.Body)
	return a
}

func TestServerAnswersAsMirrorsDo(t *testing.T) {
	s, data := big(t)
	a := get(t, s, file)
	if a.err != nil || !bytes.Equal(a.body, data) {
		t.Fatalf("%v, %d bytes of %d", a.err, len(a.body), len(data))
	}
	if b := get(t, s, file, "If-Modified-Since",
		a.Header.Get("Last-Modified")); b.StatusCode != http.StatusNotModified {
		t.Errorf("status %d to a conditional request", b.StatusCode)
	}
	if b := get(t, s, file, "Range", "bytes=1000-"); b.StatusCode != http.StatusPartialContent ||
		!bytes.Equal(b.body, data[1000:]) {
		t.Errorf("status %d to a request for a range, %d bytes", b.StatusCode, len(b.body))
	}
	if b := get(t, s, "debian/no/such/file"); b.StatusCode != http.StatusNotFound {
		t.Errorf("status %d for what is not there", b.StatusCode)
	}
	if n := s.Count(`\.deb$`); n != 3 {
		t.Errorf("%d requests counted", n)
	}
	r := s.Requests()
	if r[0].Sent != int64(len(data)) || !r[1].Conditional || r[2].Range == "" ||
		r[3].Status != 404 {
		t.Errorf("requests recorded as %+v", r)
	}
	s.ResetCounts()
	if len(s.Requests()) != 0 {
		t.Error("requests are not forgotten")
	}
}

func TestServerAsProxy(t *testing.T) {
	s, data := big(t)
	proxy, err := url.Parse(s.Server.URL)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(proxy)}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("http://mirror.example/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(body, data) {
		t.Errorf("%v, %d bytes", err, len(body))
	}
	if s.Requests()[0].Host != "mirror.example" {
		t.Errorf("recorded host %q", s.Requests()[0].Host)
	}
}

func TestFaults(t *testing.T) {
	s, data := big(t)
	flipped := bytes.Clone(data)
	flipped[77] ^= 0xff
	slowed := time.Now()
	for _, c := range []struct {
		name  string
		fault fakedebian.Fault
		ask   []string
		check func(a answer) bool
	}{
		{"status", fakedebian.Fault{Status: 503}, nil, func(a answer) bool {
			return a.StatusCode == 503
		}},
		{"loop", fakedebian.Fault{Redirect: "/" + file}, nil, func(a answer) bool {
			return a.err != nil && strings.Contains(a.err.Error(), "10 redirects")
		}},
		{"hang", fakedebian.Fault{Hang: true}, nil, func(a answer) bool {
			return errors.Is(a.err, context.DeadlineExceeded)
		}},
		{"cut", fakedebian.Fault{CutAfter: 1234}, nil, func(a answer) bool {
			return a.err != nil && len(a.body) == 1234
		}},
		{"stall", fakedebian.Fault{StallAfter: 1234}, nil, func(a answer) bool {
			return errors.Is(a.err, context.DeadlineExceeded) && len(a.body) == 1234
		}},
		{"slow", fakedebian.Fault{Slow: time.Millisecond}, nil, func(a answer) bool {
			return a.err == nil && time.Since(slowed) > 50*time.Millisecond
		}},
		{"shorter", fakedebian.Fault{Shorten: 100}, nil, func(a answer) bool {
			return a.err == nil && len(a.body) == len(data)-100
		}},
		{"length too large", fakedebian.Fault{WrongLength: 10}, nil, func(a answer) bool {
			return a.err != nil
		}},
		{"no length", fakedebian.Fault{NoLength: true}, nil, func(a answer) bool {
			return a.err == nil && a.ContentLength < 0 && len(a.body) == len(data)
		}},
		{"no ranges", fakedebian.Fault{NoRanges: true}, []string{"Range", "bytes=5-"},
			func(a answer) bool { return a.StatusCode == 200 && len(a.body) == len(data) }},
		{"wrong range", fakedebian.Fault{WrongRange: true}, []string{"Range", "bytes=5-"},
			func(a answer) bool {
				return a.StatusCode == 206 && bytes.Equal(a.body, data[:len(data)-5])
			}},
		{"no validators", fakedebian.Fault{NoValidators: true},
			[]string{"If-Modified-Since", "Wed, 01 May 2030 12:00:00 GMT"},
			func(a answer) bool {
				return a.StatusCode == 200 && a.Header.Get("ETag")+a.Header.Get(
					"Last-Modified") == ""
			}},
		{"flip", fakedebian.Fault{Flip: 77}, nil, func(a answer) bool {
			return bytes.Equal(a.body, flipped)
		}},
		{"endless", fakedebian.Fault{Endless: true}, nil, func(a answer) bool {
			return a.err != nil && len(a.body) > len(data)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.fault.Times = 1
			if c.name == "loop" {
				c.fault.Times = 0
			}
			slowed = time.Now()
			s.Fault(`\.deb$`, c.fault)
			if a := get(t, s, file, c.ask...); !c.check(a) {
				t.Errorf("got %v, error %v, %d bytes of %d", a.Response, a.err, len(a.body),
					len(data))
			}
			if c.fault.Times == 0 {
				s.Heal()
			}
			if a := get(t, s, file); a.err != nil || !bytes.Equal(a.body, data) {
				t.Errorf("it did not heal: %v, %d bytes", a.err, len(a.body))
			}
		})
	}
}

func TestAuthAndTLS(t *testing.T) {
	a := fakedebian.New(t)
	a.Suite("bookworm")
	s := fakedebian.ServeTLS(t, fakedebian.Mounts{"debian": a.Tree()})
	s.RequireAuth("me", "secret")
	if a := get(t, s, "debian/dists/bookworm/InRelease"); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d without password", a.StatusCode)
	}
	if a := get(t, s, "debian/dists/bookworm/InRelease", "Authorization",
		"Basic bWU6c2VjcmV0"); a.StatusCode != http.StatusOK {
		t.Errorf("status %d with password", a.StatusCode)
	}
	if resp, err := http.Get(s.URL("debian")); err == nil {
		resp.Body.Close()
		t.Error("the certificate is trusted")
	}
}

func TestDamage(t *testing.T) {
	a := fakedebian.New(t)
	a.Suite("bookworm").Add(fakedebian.Package{Name: "x"})
	tree := a.Tree()
	bad := tree.Clone()
	deb := bad.Find("x_1.0-1_all.deb")
	bad.Flip(deb, -1)
	if bytes.Equal(bad.Read(deb), tree.Read(deb)) {
		t.Error("no byte was flipped, or in both trees")
	}
	bad.Truncate(deb, 10)
	if len(bad.Read(deb)) != 10 {
		t.Error("not truncated")
	}
	bad.RemoveByHash()
	bad.Remove("dists/bookworm/InRelease")
	for _, name := range bad.Paths() {
		if strings.Contains(name, "by-hash") || strings.HasSuffix(name, "InRelease") &&
			!strings.Contains(name, "stable") {
			t.Errorf("%s is still there", name)
		}
	}
	dir := t.TempDir()
	tree.CopyTo(dir)
}
