package aptconf

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// JailConf and JailAuth are the files by which the apt of a jail that has the host's network is
// told what the host's own is told about fetching. They are mounted, and no part of a base.
const (
	JailConf = "/etc/apt/apt.conf.d/zz-nsbuild-host.conf"
	JailAuth = "/etc/apt/auth.conf.d/zz-nsbuild-host.conf"
)

// ForJail is the text of JailConf and JailAuth: the proxies, how strict apt is about dates, and the
// logins, those in the URIs of sources among them. A text is empty when there is nothing to say.
// What names files or programs of the host is left out.
func (h *Host) ForJail() (conf, auth string) {
	settings := map[string]string{}
	if h.conf != nil {
		for key, value := range h.conf.values {
			if aboutFetching(key) && value != "" {
				settings[key] = value
			}
		}
	}
	if h.neverExpires() {
		settings["acquire::check-valid-until"] = "false"
	}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s \"%s\";\n", key, settings[key])
	}
	return text.String(), h.logins()
}

// aboutFetching tells whether a setting, in lower case, is one of those that count for nsbuild's
// own fetching.
func aboutFetching(key string) bool {
	words := strings.Split(key, "::")
	if len(words) < 2 || words[0] != "acquire" {
		return false
	}
	switch words[1] {
	case "check-date", "check-valid-until", "min-validtime", "max-validtime", "max-futuretime",
		"retries", "by-hash":
		return true
	case "http", "https":
		return len(words) > 2 && slices.Contains([]string{"proxy", "timeout", "allowredirect",
			"verify-peer", "verify-host"}, words[2]) || words[1] == "https" && len(words) == 4 &&
			strings.HasPrefix(words[3], "verify-")
	}
	return false
}

// neverExpires tells whether each of the host's sources says that it may be out of date: there is
// no setting for a single one.
func (h *Host) neverExpires() bool {
	return len(h.sources) > 0 && !slices.ContainsFunc(h.sources, func(s source) bool {
		o := s.options
		return o.checkValidUntil == nil || *o.checkValidUntil
	})
}

// logins are those of auth.conf, then those in the URIs of sources.
func (h *Host) logins() string {
	entries := slices.Clone(h.auth)
	for _, s := range h.sources {
		u, err := url.Parse(s.uri)
		if err != nil || u.User == nil {
			continue
		}
		password, _ := u.User.Password()
		entries = append(entries, authEntry{scheme: u.Scheme, host: u.Host,
			path: strings.TrimSuffix(u.EscapedPath(), "/"), login: u.User.Username(),
			password: password})
	}
	var text strings.Builder
	said := map[string]bool{}
	for _, e := range entries {
		machine := e.host + e.path
		if e.scheme != "" {
			machine = e.scheme + "://" + machine
		}
		line := fmt.Sprintf("machine %s login %s password %s\n", machine, e.login, e.password)
		if e.login != "" && e.password != "" && !said[line] {
			said[line] = true
			text.WriteString(line)
		}
	}
	return text.String()
}
