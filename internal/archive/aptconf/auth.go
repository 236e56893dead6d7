package aptconf

import (
	"errors"
	"io/fs"
	"net/url"
	"strings"

	"nsbuild/internal/regular"
)

// authEntry is one machine of apt_auth.conf(5).
type authEntry struct {
	scheme          string // "" stands for https only
	host, path      string // host with its port, if one is given
	login, password string
}

// readAuth reads a file of auth.conf's format, netrc-like: machine NAME login NAME password WORD. A
// file that only root may read is no concern of an ordinary user's, until a mirror asks for a
// login: the hint then names the place.
func (h *Host) readAuth(file string) []authEntry {
	data, err := regular.ReadFile(file, maxConfiguration)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		h.warn(err.Error())
	}
	return parseAuth(string(data))
}

func parseAuth(text string) []authEntry {
	var words []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			words = append(words, strings.Fields(line)...)
		}
	}
	var out []authEntry
	for i := 0; i+1 < len(words); i += 2 {
		value := words[i+1]
		switch words[i] {
		case "machine":
			var e authEntry
			if scheme, rest, ok := strings.Cut(value, "://"); ok {
				e.scheme, value = scheme, rest
			}
			e.host, e.path, _ = strings.Cut(value, "/")
			if e.path != "" {
				e.path = "/" + e.path
			}
			out = append(out, e)
		case "login":
			if len(out) > 0 {
				out[len(out)-1].login = value
			}
		case "password":
			if len(out) > 0 {
				out[len(out)-1].password = value
			}
		}
	}
	return out
}

// Credentials finds the login for a URL: the one in the URL itself, else the first machine that
// fits. Without an explicit scheme a machine counts for https only, so that no password goes over
// the wire in the clear unasked.
func (h *Host) Credentials(u *url.URL) (login, password string, ok bool) {
	if u.User != nil {
		password, _ = u.User.Password()
		return u.User.Username(), password, true
	}
	for _, e := range h.auth {
		if e.login == "" && e.password == "" {
			continue
		}
		scheme := e.scheme
		if scheme == "" {
			scheme = "https"
		}
		if scheme == u.Scheme && (e.host == u.Host || e.host == u.Hostname()) &&
			strings.HasPrefix(u.EscapedPath(), e.path) {
			return e.login, e.password, true
		}
	}
	return "", "", false
}
