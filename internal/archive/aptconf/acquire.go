package aptconf

import (
	"net/url"
	"strings"
	"time"

	"nsbuild/internal/archive/failure"
)

// setting is an option of a download method: Acquire::METHOD::NAME, where https falls back on what
// is said for http.
func (h *Host) setting(scheme, name string) string {
	if h.conf == nil {
		return ""
	}
	if scheme == "https" {
		if v := h.conf.get("Acquire::https::" + name); v != "" {
			return v
		}
	}
	return h.conf.get("Acquire::http::" + name)
}

// Proxy is the proxy for a URL, nil for none: the one for its host, else the general one, else the
// environment's, unless no_proxy names the host.
func (h *Host) Proxy(u *url.URL) (*url.URL, error) {
	if h.conf == nil {
		return nil, nil
	}
	proxy := h.setting(u.Scheme, "Proxy::"+u.Hostname())
	if proxy == "" {
		proxy = h.setting(u.Scheme, "Proxy")
	}
	if proxy == "" {
		proxy = h.getenv(u.Scheme + "_proxy")
	}
	if proxy == "" || strings.EqualFold(proxy, "DIRECT") ||
		inDomains(u.Hostname(), h.getenv("no_proxy")) {
		return nil, nil
	}
	if !strings.Contains(proxy, "://") {
		proxy = "http://" + proxy
	}
	p, err := url.Parse(proxy)
	if err != nil || p.Host == "" {
		return nil,
			failure.New("set it as http://HOST:PORT in apt's configuration or in the environment",
				"proxy %q for %s: %w", proxy, u.Host, failure.ErrSyntax)
	}
	return p, nil
}

// inDomains tells whether host is one of a comma-separated list of hosts and domains, as no_proxy
// has it.
func inDomains(host, list string) bool {
	for d := range strings.SplitSeq(list, ",") {
		d = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(d), "*"), ".")
		if d != "" && (strings.EqualFold(host, d) || len(host) > len(d) &&
			strings.EqualFold(host[len(host)-len(d)-1:], "."+d)) {
			return true
		}
	}
	return list == "*"
}

// ByHash is apt's Acquire::By-Hash, in lower case; "" when it says nothing.
func (h *Host) ByHash() string {
	if h.conf == nil {
		return ""
	}
	return strings.ToLower(h.conf.get("Acquire::By-Hash"))
}

// AllowRedirect is Acquire::http::AllowRedirect: whether what a mirror redirects to is followed.
func (h *Host) AllowRedirect(scheme string) bool {
	return Bool(h.setting(scheme, "AllowRedirect"), true)
}

// Timeout is Acquire::http::Timeout; ok is false when it is not set.
func (h *Host) Timeout() (d time.Duration, ok bool) {
	if h.conf == nil {
		return 0, false
	}
	d, ok = h.conf.seconds("Acquire::http::Timeout")
	return d, ok && d > 0
}

// Retries is Acquire::Retries, at most 100; ok is false when it is not set.
func (h *Host) Retries() (n int, ok bool) {
	if h.conf == nil {
		return 0, false
	}
	set, ok := h.conf.number("Acquire::Retries")
	return int(min(set, 100)), ok
}
