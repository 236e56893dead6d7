package fetch_test

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
)

// TestTLS: certificates count as apt is told.
func TestTLS(t *testing.T) {
	m := archivetest.New(t, nil)
	srv := fakedebian.ServeTLS(t, fakedebian.Mounts{"debian": m.Archive.Tree()})
	m.Repo.URI = srv.URL("debian")
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	for _, test := range []struct {
		conf string
		want error
	}{
		{"", failure.ErrUnreachable},
		{`Acquire::https::CaInfo "/ca.pem";`, nil},
		{`Acquire::https::127.0.0.1::CaInfo "/ca.pem";`, nil},
		{`Acquire::https::Verify-Peer "false";`, nil},
		{`Acquire::https::CaInfo "/none.pem";`, os.ErrNotExist},
		{`Acquire::https::CaInfo "/empty.pem";`, failure.ErrSyntax},
	} {
		m.Options.Host = archivetest.AptHost(t, map[string]string{"etc/apt/apt.conf": test.conf,
			"ca.pem": ca, "empty.pem": "x"})
		m.Options.CacheDir = t.TempDir()
		if _, _, err := m.All(m.Client()); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.conf, err)
		}
	}
}

// TestClientCertificate: the certificate that apt is told to show is shown, to the host for which
// it is.
func TestClientCertificate(t *testing.T) {
	m := archivetest.New(t, nil)
	client, cert, key := fakedebian.Certificate(t)
	_, otherCert, otherKey := fakedebian.Certificate(t)
	srv := fakedebian.ServeMutualTLS(t, fakedebian.Mounts{"debian": m.Archive.Tree()}, client)
	m.Repo.URI = srv.URL("debian")
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	for _, test := range []struct {
		conf string
		want error
		hint string
	}{
		{``, failure.ErrUnreachable, "network"},
		{`SslCert "/cert.pem"; SslKey "/key.pem";`, nil, ""},
		{`SslCert "/both.pem";`, nil, ""},
		{`127.0.0.1 { SslCert "/cert.pem"; SslKey "/key.pem"; };`, nil, ""},
		{`other.example { SslCert "/cert.pem"; SslKey "/key.pem"; };`, failure.ErrUnreachable,
			"network"},
		{`SslCert "/other.pem"; SslKey "/otherkey.pem";`, failure.ErrUnreachable, "network"},
		{`SslCert "/cert.pem"; SslKey "/none.pem";`, os.ErrNotExist, "SslCert and SslKey"},
	} {
		m.Options.Host = archivetest.AptHost(t, map[string]string{
			"etc/apt/apt.conf": `Acquire::https { CaInfo "/ca.pem"; ` + test.conf + ` };`,
			"ca.pem":           ca, "cert.pem": string(cert), "key.pem": string(key),
			"both.pem":  string(cert) + string(key),
			"other.pem": string(otherCert), "otherkey.pem": string(otherKey),
		})
		m.Options.CacheDir = t.TempDir()
		if _, _, err := m.All(m.Client()); !errors.Is(err, test.want) ||
			!strings.Contains(fault.HintOf(err), test.hint) {
			t.Errorf("%s: %v, hint %q", test.conf, err, fault.HintOf(err))
		}
	}
}

// TestRedirectKeepsSecrets: a password goes to the host it is for, and nowhere else.
func TestRedirectKeepsSecrets(t *testing.T) {
	m := archivetest.New(t, nil)
	var leaked []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked = append(leaked, r.URL.Path)
		}
		http.Redirect(w, r, m.Server.Server.URL+r.URL.Path+"?back", http.StatusFound)
	}))
	defer other.Close()
	m.Server.RequireAuth("joe", "secret")
	host := strings.TrimPrefix(m.Server.Server.URL, "http://")
	m.Options.Host = archivetest.AptHost(t,
		map[string]string{"etc/apt/auth.conf": "machine http://" + host +
			" login joe password secret"})
	m.Server.Fault("^debian/pool/.*delta", fakedebian.Fault{Redirect: other.URL + "/debian/pool/x",
		Times: 1})
	_, _, err := m.All(m.Client())
	if len(leaked) > 0 {
		t.Errorf("the password went to another host for %q", leaked)
	}
	if err != nil && !errors.Is(err, failure.ErrNotFound) {
		t.Error(err)
	}
	m.Options.Host = archivetest.AptHost(t,
		map[string]string{"etc/apt/apt.conf": `Acquire::http::AllowRedirect "false";`})
	m.Repo.URI, m.Options.CacheDir = other.URL+"/debian", t.TempDir()
	if _, _, err := m.All(m.Client()); !errors.Is(err, failure.ErrRefused) ||
		!strings.Contains(err.Error(), "AllowRedirect") {
		t.Error(err)
	}
}
