package aptconf

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/fault"
)

// Repos chooses where a suite is fetched from: the suite itself first, then its -updates, then its
// -security, where it has them; before all of these the suite it adds to, for backports and
// experimental.
//
// Each line of mirrors is a mirror: a URI, a directory, or a line of a sources.list, which begins
// with "deb ". Lines of the latter kind alone are taken as they are, beside others they add to
// them. With none, it is the host's own apt source which serves this distribution (whatever suite
// of it the source is for; its security source for -security), else the suite's primary mirror. A
// mirror of the form URI or DIRECTORY serves the suite and -updates, and -security only where the
// distribution keeps it in the same place: no other place is contacted than the one that was asked
// for. arch is the architecture that it is for, "" when that does not matter: of the host's
// sources, one that is for it ([arch=…]) comes first.
func (h *Host) Repos(s suites.Suite, mirrors, arch string) ([]Repo, error) {
	var out []Repo
	var lines strings.Builder
	asked := false
	for line := range strings.Lines(mirrors) {
		line = strings.TrimSpace(line)
		switch kind, _ := cutWord(line); {
		case line == "" || strings.HasPrefix(line, "#"):
		case kind == "deb" || kind == "deb-src":
			lines.WriteString(line + "\n")
			asked = true
		default:
			asked = true
			repos, err := h.reposAt(s, line, arch)
			if err != nil {
				return nil, err
			}
			out = append(out, repos...)
		}
	}
	if !asked {
		return h.reposAt(s, "", arch)
	}
	if lines.Len() == 0 {
		return out, nil
	}
	more, err := h.reposFromLines(s, lines.String())
	return append(out, more...), err
}

// reposAt is Repos for one mirror of the form URI or DIRECTORY, or for none.
func (h *Host) reposAt(s suites.Suite, mirror, arch string) ([]Repo, error) {
	var out []Repo
	if s.Base != "" {
		base, err := h.suites().Lookup(s.Base)
		if err != nil {
			return nil, err
		}
		if out, err = h.reposAt(base, mirror, arch); err != nil {
			return nil, err
		}
	}
	main := Repo{Suite: s.Name, Components: s.Components, Distribution: s.Distribution,
		Keyrings: s.Keyrings, Quirks: s.Quirks}
	security := main
	security.Security = true
	if mirror != "" {
		uri, err := mirrorURI(mirror)
		if err != nil {
			return nil, err
		}
		main.URI, main.hostKeys, main.origin = uri, true, "--mirror"
		main.Keyrings = slices.Clone(s.Keyrings)
		security.URI, security.hostKeys, security.origin = uri, true, "--mirror"
		security.Optional = true
		if s.Distribution == "debian" {
			s.Security = ""
		}
	} else {
		if s.Mirror == "" && s.Distribution == "" {
			return nil,
				fault.New(fault.Usage,
					"give its mirror with --mirror and its keyring with --keyring",
					"suite %s is not in the table, so its mirror is not known", s.Name)
		}
		if s.OwnMirror {
			main.URI, main.hostKeys, main.origin = strings.TrimRight(s.Mirror, "/"), true,
				"the suite table"
		} else {
			h.choose(&main, s.Mirror, []string{s.Name}, arch)
		}
		h.choose(&security, s.SecurityMirror, []string{s.Security}, arch)
	}
	out = append(out, main)
	if s.Updates != "" {
		out = append(out, h.updates(s, main, mirror != ""))
	}
	if s.Security != "" {
		security.Suite = s.Security
		out = append(out, security)
	}
	return out, nil
}

// updates is the suite's -updates, where the suite itself is. It is trusted without a signature
// only where the host's own line for it says so.
func (h *Host) updates(s suites.Suite, main Repo, given bool) Repo {
	r := main
	r.Suite, r.Optional, r.Trusted, r.note = s.Updates, given, false, ""
	for _, src := range h.sources {
		if !given && src.binary && src.suite == s.Updates &&
			strings.TrimRight(src.uri, "/") == main.URI {
			r.Keyrings = slices.Clone(s.Keyrings)
			r.apply(h, src, true)
			break
		}
	}
	return r
}

// choose fills in a repository from the host's source that most surely serves its distribution, or
// from the primary.
func (h *Host) choose(r *Repo, primary string, names []string, arch string) {
	r.URI, r.origin = strings.TrimRight(primary, "/"), "the suite table"
	var found *source
	var passed []string // that would have been looked at, if they could be
	exact, fitting, best := false, false, 0
	for i := range h.sources {
		src := &h.sources[i]
		if !src.serves(h.suites(), r.Distribution, r.Security) {
			continue
		}
		if why := src.unusable(); why != "" {
			if !slices.Contains(passed, why) {
				passed = append(passed, why)
			}
			continue
		}
		score := h.evidence(src, r.Distribution)
		match := slices.Contains(names, src.suite)
		fits := arch == "" || src.options.serves(arch)
		better := score > best || score == best && match && !exact
		if score > 0 && (fits && !fitting || fits == fitting && better) {
			found, exact, fitting, best = src, match, fits, score
		}
	}
	switch {
	case found != nil && (exact || !r.Quirks.Archived):
		r.apply(h, *found, exact)
	case len(passed) > 0 && !r.Quirks.Archived:
		r.note = "taken from the distribution's own mirror, since what this host's apt has " +
			"cannot be used: " + strings.Join(passed, "; ")
	}
}

// serves tells whether a source may be a mirror of a distribution's suites, or its security suites.
func (src *source) serves(table *suites.Table, distribution string, security bool) bool {
	d, s, ok := table.Distribution(src.suite)
	return ok && src.binary && d == distribution && s == security &&
		slices.Contains(src.components, "main")
}

// unusable says why a source cannot be read here, "" when it can.
func (src *source) unusable() string {
	scheme, _, _ := strings.Cut(src.uri, ":")
	switch {
	case src.options.cannot != "":
		o := &src.options
		return fmt.Sprintf("%s: option %s: %s (%s)", failure.PublicURI(src.uri), o.cannot, o.why,
			src.file)
	case src.unread != nil:
		return fmt.Sprintf("%s: %v (%s)", src.uri, src.unread, src.file)
	case !usableScheme(src.uri):
		return fmt.Sprintf("%s: the method %s is not spoken here (%s)",
			failure.PublicURI(src.uri), scheme, src.file)
	}
	return ""
}

// evidence weighs how surely a source is a mirror of the distribution itself, or of its security
// suites; 0 is not at all. The suite's name alone says little: vendors call theirs stable and
// bookworm too, with a component main.
func (h *Host) evidence(src *source, distribution string) int {
	score := 0
	for _, name := range src.options.signedBy {
		if ownKeyring(name, distribution) {
			score += 4
		} else {
			score--
		}
	}
	if src.options.keyData != "" {
		score--
	}
	u, err := url.Parse(src.uri)
	if err != nil {
		return 0
	}
	host := strings.ToLower(u.Hostname())
	if strings.HasSuffix(host, "."+distribution+".org") ||
		strings.HasSuffix(host, "."+distribution+".com") {
		score += 3
	}
	if last := path.Base(u.Path); last == distribution || last == distribution+"-security" {
		score++
		switch filepath.Base(src.file) {
		case "sources.list", distribution + ".sources", distribution + ".list":
			// where the installer puts it
			score++
		}
	}
	for _, other := range h.sources { // vendors have no -updates
		if other.binary && other.uri == src.uri && other.suite != src.suite &&
			strings.HasPrefix(other.suite, strings.TrimSuffix(src.suite, "-security")+"-") {
			if d, _, ok := h.suites().Distribution(other.suite); ok && d == distribution {
				score += 2
				break
			}
		}
	}
	return max(0, score)
}

// ownKeyring reports whether a keyring file is the distribution's own, as its packages install it:
// the whole keyring, or one of the single keys beside it.
func ownKeyring(name, distribution string) bool {
	return filepath.Dir(name) == "/usr/share/keyrings" && strings.HasPrefix(filepath.Base(name),
		distribution+"-archive-")
}

// apply takes over a host's source. Trust without a signature holds for the very suite it was given
// for.
func (r *Repo) apply(h *Host, src source, exact bool) {
	r.URI, r.origin, r.hostKeys = strings.TrimRight(src.uri, "/"), src.file, true
	r.options = src.options
	r.Trusted = exact && src.options.trusted != nil && *src.options.trusted
	if len(src.options.signedBy) > 0 {
		r.Keyrings = r.narrow(h, src.options.signedBy)
	}
}

// narrow replaces a suite's own keyrings by those a source names, unless that is the distribution's
// own keyring file: an old suite needs the removed keys beside it.
func (r *Repo) narrow(h *Host, signedBy []string) []string {
	r.hostKeys = false
	var out []string
	for _, name := range signedBy {
		base := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(name), ".pgp"), ".gpg")
		if ownKeyring(name, r.Distribution) && base == r.Distribution+"-archive-keyring" {
			out = append(out, r.Keyrings...)
			continue
		}
		if filepath.IsAbs(name) {
			name = h.path(name)
		}
		out = append(out, name)
	}
	return out
}

func (h *Host) reposFromLines(s suites.Suite, lines string) ([]Repo, error) {
	sources, err := parseOneLine(lines, "--mirror", h.arch())
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "a line is: deb [options] URI SUITE COMPONENT…", err)
	}
	var out []Repo
	for _, src := range sources {
		if !src.binary {
			continue
		}
		uri, err := mirrorURI(src.uri)
		if err != nil {
			return nil, err
		}
		src.uri = uri
		if err := src.options.had(src.uri + " " + src.suite); err != nil {
			return nil, err
		}
		r := Repo{Suite: src.suite, Components: src.components, Quirks: s.Quirks,
			Keyrings: s.Keyrings}
		r.Distribution, r.Security, _ = h.suites().Distribution(src.suite)
		r.apply(&Host{}, src, true) // what the user writes is not below the host's root
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Usage, "a line is: deb [options] URI SUITE COMPONENT…",
			"--mirror: no line of type deb")
	}
	return out, nil
}

// mirrorURI makes a URI of what a user may give as a mirror: a URI, or a directory.
func mirrorURI(mirror string) (string, error) {
	if name, ok := strings.CutPrefix(mirror, mirrorFile); ok {
		uri, err := bestMirror(strings.TrimPrefix(name, "//"), (&Host{}).arch())
		if err != nil {
			return "", fault.New(fault.Usage, "name one mirror", "mirror %s: %w", mirror, err)
		}
		return uri, nil
	}
	if usableScheme(mirror) {
		// as apt writes it, when it says which packages it wants
		if path, ok := strings.CutPrefix(mirror, "file:///"); ok {
			mirror = "file:/" + path
		}
		return strings.TrimRight(mirror, "/"), nil
	}
	if scheme, _, ok := strings.Cut(mirror, ":"); ok && !strings.Contains(scheme, "/") {
		return "", fault.New(fault.Usage, "use http, https, file or copy, or a directory",
			"mirror %s: scheme %s: %w", mirror, scheme, failure.ErrUnsupported)
	}
	dir, err := filepath.Abs(mirror)
	if err != nil {
		return "", err
	}
	if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
		return "", fault.New(fault.Usage, "give a URI (http://…) or an existing directory",
			"mirror %s is neither a URI nor a directory", mirror)
	}
	return (&url.URL{Scheme: "file", Path: dir, OmitHost: true}).String(), nil
}

func usableScheme(uri string) bool {
	scheme, rest, ok := strings.Cut(uri, ":")
	switch strings.ToLower(scheme) {
	case "http", "https":
		return ok && strings.HasPrefix(rest, "//")
	case "file", "copy":
		return ok
	}
	return false
}
