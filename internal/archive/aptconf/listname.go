package aptconf

import (
	"fmt"
	"net/url"
	"strings"
)

// ListName turns a URL into the name apt gives to what it downloaded from there: without scheme,
// login and the brackets of an IPv6 address, percent signs resolved, then what is special quoted as
// %xx and slashes made underscores.
func ListName(uri string) string {
	_, rest, ok := strings.Cut(uri, ":")
	if !ok {
		rest = uri
	}
	if r, ok := strings.CutPrefix(rest, "//"); ok {
		host, path, _ := strings.Cut(r, "/")
		host = strings.NewReplacer("[", "", "]", "").Replace(
			host[strings.LastIndexByte(host, '@')+1:])
		rest = host + "/" + path
	}
	if plain, err := url.PathUnescape(rest); err == nil {
		rest = plain
	}
	var out strings.Builder
	for _, ch := range []byte(rest) {
		switch {
		case ch == '/':
			out.WriteByte('_')
		case ch <= ' ' || ch >= 0x7f || strings.IndexByte(`\|{}[]<>"^~_=!@#$%^&*`, ch) >= 0:
			fmt.Fprintf(&out, "%%%02x", ch)
		default:
			out.WriteByte(ch)
		}
	}
	return out.String()
}
