package rebuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/fault"
)

// snapshotTime is how a snapshot names a moment.
const snapshotTime = "20060102T150405Z"

// mostMoments bounds how many moments of a snapshot are asked for.
const mostMoments = 200

// moment is a state of an archive in a snapshot.
type moment struct {
	archive string // "debian", "debian-security"
	at      string
}

// snapshot is a service with the layout of Debian's snapshot archive.
type snapshot struct {
	uri   string
	suite suites.Suite
	asked map[string]bool
	// how often in turn it has not answered
	silent int
}

// mostSilent is how often in turn a snapshot may not answer: then it is not asked for the rest.
// Each time has had its own retries and waits.
const mostSilent = 3

// heard notes whether a snapshot has answered.
func (s *snapshot) heard(answered bool) {
	if s.silent++; answered {
		s.silent = 0
	}
}

// openSnapshot takes the URL of a snapshot, with or without the path of its archives.
func openSnapshot(text string, suite suites.Suite) (*snapshot, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "file" ||
		u.Scheme != "file" && u.Host == "" {
		return nil, fault.New(fault.Usage, "give the URL of a snapshot, such as that of Debian",
			"--snapshot %q is no URL of a snapshot", text)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/debian"), "/archive")
	return &snapshot{uri: u.String(), suite: suite, asked: map[string]bool{}}, nil
}

// repos are the suites of a moment. What was valid then counts, though it has expired: the moment
// is asked for, not the newest state.
func (s *snapshot) repos(m moment, all bool) (repos []aptconf.Repo) {
	var names []string
	switch {
	case strings.HasSuffix(m.archive, "-security"):
		names = []string{s.suite.Security}
	case s.suite.Distribution == "debian" && all:
		names = []string{s.suite.Name, s.suite.Updates, "sid", "experimental"}
	case s.suite.Distribution == "debian":
		names = []string{s.suite.Name, s.suite.Updates, "sid"}
	default:
		names = []string{s.suite.Name, s.suite.Updates}
	}
	quirks := s.suite.Quirks
	quirks.ExpiredRelease, quirks.ExpiredKeys = true, true
	keyrings := slices.Clone(s.suite.Keyrings)
	if s.suite.Distribution == "debian" {
		keyrings = append(keyrings, "debian-archive-removed-keys.gpg")
	}
	seen := map[string]bool{"": true}
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		repos = append(repos, aptconf.Repo{
			URI: s.uri + "/archive/" + m.archive + "/" + m.at, Suite: name,
			Components: s.suite.Components, Distribution: s.suite.Distribution,
			Keyrings: keyrings, Quirks: quirks, Optional: true})
	}
	return repos
}

// binfiles is what a snapshot says of a binary package; see its machine-usable interface.
type binfiles struct {
	FileInfo map[string][]struct {
		Archive   string `json:"archive_name"`
		FirstSeen string `json:"first_seen"`
		Name      string `json:"name"`
	} `json:"fileinfo"`
}

// maxAnswer bounds an answer of the interface, in bytes.
const maxAnswer = 4 << 20

// firstSeen are the moments at which a package was there first.
func (f *finder) firstSeen(ctx context.Context, s *snapshot, w *wanted) []moment {
	at := fmt.Sprintf("%s/mr/binary/%s/%s/binfiles?fileinfo=1", s.uri, url.PathEscape(w.Name),
		url.PathEscape(w.Version))
	text, err := f.env.Client.Get(ctx, at, maxAnswer)
	s.heard(!unanswered(err))
	if err != nil {
		if !errors.Is(err, failure.ErrNotFound) {
			f.note("%v", err)
		}
		return nil
	}
	var answer binfiles
	if err := json.Unmarshal(text, &answer); err != nil {
		f.note("%s: it answers with something else than JSON: %v", failure.PublicURI(at), err)
		return nil
	}
	var all []moment
	for _, files := range answer.FileInfo {
		for _, file := range files {
			if _, err := time.Parse(snapshotTime, file.FirstSeen); err == nil &&
				(file.Archive == "debian" || file.Archive == "debian-security") {
				all = append(all, moment{file.Archive, file.FirstSeen})
			}
		}
	}
	slices.SortFunc(all, func(a, b moment) int {
		return strings.Compare(a.at+a.archive, b.at+b.archive)
	})
	return slices.Compact(all)
}

// inSnapshot looks at the day of the build first, where most of it is, and then for each package
// that is still missing at the moment when it came.
func (f *finder) inSnapshot(ctx context.Context, s *snapshot, built time.Time) error {
	if !built.IsZero() {
		at := built.UTC().Format(snapshotTime)
		for _, archive := range []string{"debian", "debian-security"} {
			if err := f.atMoment(ctx, s, moment{archive, at}, false); err != nil {
				return err
			}
		}
	}
	for _, w := range f.missing() {
		if w.found != nil || w.Version == "" {
			continue
		}
		if s.silent >= mostSilent {
			f.note("%s was not asked for the rest: it has not answered %d times in turn",
				failure.PublicURI(s.uri), mostSilent)
			return nil
		}
		for _, m := range f.firstSeen(ctx, s, w) {
			if err := f.atMoment(ctx, s, m, true); err != nil || w.found != nil {
				if err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

// atMoment looks at one moment, once.
func (f *finder) atMoment(ctx context.Context, s *snapshot, m moment, all bool) error {
	key := fmt.Sprint(m, all)
	if s.asked[key] || s.silent >= mostSilent || len(f.missing()) == 0 && !f.sourceMissing {
		return nil
	}
	if len(s.asked) >= mostMoments {
		f.note("%s: no more than %d moments were asked for", failure.PublicURI(s.uri), mostMoments)
		return nil
	}
	s.asked[key] = true
	opened, silent := f.open(ctx, s.repos(m, all))
	s.heard(len(opened) > 0 || silent == 0)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(opened) == 0 {
		f.note("%s/archive/%s/%s has no suite of that moment that could be used",
			failure.PublicURI(s.uri), m.archive, m.at)
	}
	for _, r := range opened {
		if until := r.ValidUntil(); !until.IsZero() && until.Before(time.Now()) {
			f.note("%s: its Valid-Until (%s) is ignored: that moment was asked for", r.Repo(),
				until.UTC().Format(time.RFC1123))
		}
	}
	return f.inSuites(ctx, opened)
}
