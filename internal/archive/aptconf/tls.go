package aptconf

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/regular"
)

// TLS reads what apt is told about certificates:
// Acquire::https::{Verify-Peer,CaInfo,SslCert,SslKey}, for one host or for all
// (apt-transport-https(1)). Host verification cannot be switched off apart from that of the
// certificate; Verify-Host=false therefore switches off both, as it would be worth no more.
func (h *Host) TLS(host string) (*tls.Config, error) {
	get := func(name string) string {
		if h.conf == nil {
			return ""
		}
		if v := h.conf.get("Acquire::https::" + host + "::" + name); v != "" {
			return v
		}
		return h.conf.get("Acquire::https::" + name)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if !Bool(get("Verify-Peer"), true) || !Bool(get("Verify-Host"), true) {
		// the administrator's word; what is fetched is verified by its signature in any case
		config.InsecureSkipVerify = true
	}
	if file := get("CaInfo"); file != "" {
		pem, err := regular.ReadFile(h.path(file), maxConfiguration)
		if err != nil {
			return nil, failure.New("mend Acquire::https::CaInfo in apt's configuration",
				"certificates for %s: %w", host, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, failure.New("mend Acquire::https::CaInfo in apt's configuration",
				"certificates for %s: %s holds none: %w", host, file, failure.ErrSyntax)
		}
	}
	if cert := get("SslCert"); cert != "" {
		key := cmp.Or(get("SslKey"), cert)
		pair, err := tls.LoadX509KeyPair(h.path(cert), h.path(key))
		if err != nil {
			return nil,
				failure.New("mend Acquire::https::SslCert and SslKey in apt's configuration",
					"client certificate for %s: %w", host, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
