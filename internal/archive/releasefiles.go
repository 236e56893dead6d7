package archive

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/signature"
)

// cachedRelease is what the cache remembers about a suite on a mirror: which files it has of it,
// and what to ask the mirror for news with. It lies beside the lists as JSON.
type cachedRelease struct {
	Names    []string  // "InRelease", or "Release" and "Release.gpg"
	Digests  []string  // of these files; their contents are blobs of the cache
	ETag     string    `json:",omitempty"`
	Modified time.Time // Last-Modified of the first, zero when the server gave none
	Checked  time.Time // when the mirror was last asked
	Absent   bool      `json:",omitempty"` // it did not have the suite, which is optional
	Made     bool      `json:",omitempty"` // it is of our making: see unlisted.go
}

// rawRelease is a Release file as fetched, not yet verified.
type rawRelease struct {
	cachedRelease
	data [][]byte
}

// ReleaseFiles are the Release files of suites: fetched, verified, and kept in a cache.
type ReleaseFiles struct {
	judge        *judge
	cache        *cache.Cache
	fetch        *fetch.Fetcher
	log          logrus.FieldLogger
	said         *onceLog
	offline      bool
	refreshAfter time.Duration
	now          func() time.Time
}

// judge tells which Release files count.
type judge struct {
	host *aptconf.Host
	now  func() time.Time
	said *onceLog
	mu   sync.Mutex
	keys map[string]*signature.Keyring // that were read, by what they are for
}

// Release fetches and verifies a suite's Release file: InRelease, or Release with Release.gpg. It
// asks the mirror, with a conditional request, when it has not done so for Options.RefreshAfter.
// The signature is verified every time, also that of a cached file, for keys and clocks change.
func (rs *ReleaseFiles) Release(ctx context.Context, repo aptconf.Repo) (*Release, error) {
	st, err := rs.release(ctx, repo, false)
	if err != nil {
		return nil, failure.WithHint(fmt.Errorf("%s: %w", repo, err))
	}
	r := &Release{repo: repo, st: st}
	if len(repo.Components) == 0 && !repo.Flat() { // nobody said which: main, where there is one
		r.repo.Components = r.Components()
		if slices.Contains(r.repo.Components, "main") {
			r.repo.Components = []string{"main"}
		}
	}
	return r, nil
}

// Releases fetches several at once, in the order of the repositories. Those that are optional and
// that the mirror does not have are left out, with a line in the log.
func (rs *ReleaseFiles) Releases(ctx context.Context, repos []aptconf.Repo) ([]*Release, error) {
	all := make([]*Release, len(repos))
	group, ctx := errgroup.WithContext(ctx)
	for i, repo := range repos {
		group.Go(func() error {
			r, err := rs.Release(ctx, repo)
			if repo.Optional && errors.Is(err, failure.ErrNoSuite) {
				rs.log.Infof("%s: the mirror does not have it, left out", repo)
				return nil
			}
			all[i] = r
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var out []*Release
	for _, r := range all {
		if r != nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// release is Release; force asks the mirror in any case and unconditionally.
func (rs *ReleaseFiles) release(ctx context.Context, repo aptconf.Repo, force bool) (*releaseState,
	error) {
	cached, st, cacheErr := rs.cachedRelease(repo)
	absent := cached != nil && cached.Absent && repo.Optional
	if why := repo.Note(); why != "" {
		rs.said.insist("%s: %s", repo, why)
	}
	switch {
	case fetch.OnDisk(repo.URI): // there is nobody to be spared
	case rs.offline && absent:
		return nil, fmt.Errorf("%w: so it said when it was last asked", failure.ErrNoSuite)
	case rs.offline && st == nil && cacheErr == nil:
		return nil, failure.ErrOffline
	case rs.offline:
		return st, cacheErr
	case !force && (st != nil || absent) && rs.refreshAfter > 0:
		age := rs.now().Sub(cached.Checked)
		if age < 0 || age >= rs.refreshAfter {
			break
		}
		if absent {
			return nil, fmt.Errorf("%w: so it said %s ago", failure.ErrNoSuite,
				age.Round(time.Second))
		}
		return st, nil
	}
	if force || st == nil || cached.Made {
		cached = nil
	}
	raw, err := rs.fetchRelease(ctx, repo, cached)
	raw, err = rs.complete(ctx, repo, raw, err)
	if rs.offline && err != nil && st != nil {
		return st, nil // a disk that is not there now
	}
	if repo.Optional && st == nil && errors.Is(err, failure.ErrNoSuite) {
		return nil,
			errors.Join(err,
				rs.saveRelease(repo,
					&rawRelease{
						cachedRelease: cachedRelease{Checked: rs.now(), Absent: true}}))
	}
	if err != nil {
		return nil, err
	}
	raw.Checked = rs.now()
	if raw.data == nil { // not modified
		return st, rs.saveRelease(repo, raw)
	}
	fresh, err := rs.judge.judge(repo, raw)
	if err != nil {
		return nil, err
	}
	if st != nil && fresh.date.Before(st.date) && !repo.Trusted {
		rs.log.Warnf("%s: the mirror now offers an older Release file (%s) than it did (%s): "+
			"keeping the newer", repo, fresh.date.Format(time.RFC3339),
			st.date.Format(time.RFC3339))
		return st, nil
	}
	for i, name := range raw.Names {
		path, err := rs.cache.Keep(cache.Lists, raw.data[i])
		if err != nil {
			return nil, err
		}
		fresh.paths = append(fresh.paths, stored{name, path})
	}
	return fresh, rs.saveRelease(repo, raw)
}

// cachedRelease reads and verifies what the cache has. Without anything there it returns nothing;
// what is damaged, expired or no longer trusted comes as an error.
func (rs *ReleaseFiles) cachedRelease(repo aptconf.Repo) (*cachedRelease, *releaseState, error) {
	data, err := os.ReadFile(rs.releaseFile(repo))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var raw rawRelease
	err = json.Unmarshal(data, &raw.cachedRelease)
	if err == nil && raw.Absent {
		return &raw.cachedRelease, nil, nil
	}
	if err != nil || len(raw.Names) == 0 || len(raw.Names) != len(raw.Digests) {
		return nil, nil, fmt.Errorf("cache: %s: %w", rs.releaseFile(repo), failure.ErrSyntax)
	}
	var paths []stored
	for i, digest := range raw.Digests {
		if len(digest) != 2*sha256.Size || !hashes.IsHex(digest) {
			return nil, nil, fmt.Errorf("cache: %s: %w", rs.releaseFile(repo), failure.ErrSyntax)
		}
		path := rs.cache.Place(cache.Lists, digest, "")
		rs.cache.Claim(path)
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		if hashes.SHA256(data) != digest {
			return nil, nil, fmt.Errorf("cache: %s: %w", path, failure.ErrHash)
		}
		if err := rs.cache.Used(path); err != nil {
			return nil, nil, err
		}
		raw.data = append(raw.data, data)
		paths = append(paths, stored{raw.Names[i], path})
	}
	st, err := rs.judge.judge(repo, &raw)
	if err != nil {
		return nil, nil, err
	}
	st.paths = paths
	return &raw.cachedRelease, st, nil
}

// releaseFile is where the cache remembers a suite of a mirror.
func (rs *ReleaseFiles) releaseFile(repo aptconf.Repo) string {
	name := listName(repo.Dist() + "Release")
	if len(name) > 200 {
		name = hashes.SHA256([]byte(name))
	}
	return filepath.Join(rs.cache.Dir(cache.Lists), name+".json")
}

func (rs *ReleaseFiles) saveRelease(repo aptconf.Repo, raw *rawRelease) error {
	data, err := json.MarshalIndent(raw.cachedRelease, "", "\t")
	if err != nil {
		return err
	}
	return rs.cache.WriteAside(rs.releaseFile(repo), append(data, '\n'))
}

// fetchRelease asks the mirror. With cached it asks for news only; the data are then nil if there
// are none.
func (rs *ReleaseFiles) fetchRelease(ctx context.Context, repo aptconf.Repo,
	cached *cachedRelease) (*rawRelease, error) {
	names := [][]string{{"InRelease"}, {"Release", "Release.gpg"}}
	if repo.Quirks.NoInRelease {
		names = names[1:]
	}
	elsewhere := repo.InRelease()
	if elsewhere != "" { // apt looks for nothing else then
		names = names[:1]
	}
	var last error
	for _, set := range names {
		raw := &rawRelease{cachedRelease: cachedRelease{Names: set}}
		r := fetch.Request{URL: repo.Dist() + cmp.Or(elsewhere, set[0]), Fresh: true}
		if cached != nil && cached.Names[0] == set[0] {
			r.ETag, r.Since = cached.ETag, cached.Modified
		}
		data, a, err := rs.fetch.Read(ctx, r, maxRelease)
		if errors.Is(err, failure.ErrNotFound) || errors.Is(err, failure.ErrRefused) {
			// some mirrors refuse what they do not have
			if last == nil || errors.Is(err, failure.ErrNotFound) {
				last = err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if a.NotModified {
			raw.cachedRelease = *cached
			return raw, nil
		}
		raw.ETag, raw.Modified = a.ETag, a.LastModified
		raw.add(data)
		for _, name := range set[1:] {
			data, _, err := rs.fetch.Read(ctx, fetch.Request{URL: repo.Dist() + name, Fresh: true},
				maxRelease)
			if errors.Is(err, failure.ErrNotFound) {
				if repo.Trusted {
					raw.Names = set[:1]
					break
				}
				if repo.AllowsInsecure() {
					return nil, insecure(fmt.Errorf("%w: it has Release alone",
						failure.ErrNoSignature))
				}
				return nil, fmt.Errorf("%w: it has Release, but neither InRelease nor Release.gpg",
					failure.ErrNoSignature)
			}
			if err != nil {
				return nil, err
			}
			raw.add(data)
		}
		return raw, nil
	}
	switch {
	case !errors.Is(last, failure.ErrNotFound):
		return nil, last
	case repo.AllowsInsecure() && !repo.Trusted:
		return nil, insecure(fmt.Errorf("%w: %w", failure.ErrNoSuite, last))
	case repo.Flat() && !repo.Trusted:
		return nil,
			failure.New(
				"a repository without a Release file is read where its line has [trusted=yes]",
				"%w: it has no Release file: %w", failure.ErrNoSuite, last)
	}
	return nil, fmt.Errorf("%w: %w", failure.ErrNoSuite, last)
}

// insecure says what allow-insecure is worth where nobody can be asked.
func insecure(err error) error {
	return failure.New("[trusted=yes] in its line has packages installed without a question",
		"%w: [allow-insecure=yes] has apt read the repository, but install from it only when "+
			"asked, and here nobody is", err)
}

func (r *rawRelease) add(data []byte) {
	r.data = append(r.data, data)
	r.Digests = append(r.Digests, hashes.SHA256(data))
}

// judge verifies a Release file's signature, name and dates, and parses it.
func (j *judge) judge(repo aptconf.Repo, raw *rawRelease) (*releaseState, error) {
	text, signers, err := j.authenticate(repo, raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", raw.Names[0], err)
	}
	st, err := parseRelease(text, repo.Quirks.WeakHashes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", raw.Names[0], err)
	}
	st.signers, st.digest, st.modified = signers, hashes.SHA256(text), raw.Modified
	st.inRelease = raw.Names[0] == "InRelease"
	if err := st.checkName(repo); err != nil {
		return nil, fmt.Errorf("%s: %w", raw.Names[0], err)
	}
	v := j.host.Validity(repo, st.fields["label"])
	v.CheckUntil = v.CheckUntil && !repo.Quirks.ExpiredRelease
	if err := v.Check(st.date, st.until, j.now()); err != nil {
		return nil, fmt.Errorf("%s: %w", raw.Names[0], err)
	}
	return st, nil
}

// authenticate returns the text that is signed, and by whom.
func (j *judge) authenticate(repo aptconf.Repo, raw *rawRelease) (text []byte, signers []string,
	err error) {
	var signed, sig []byte
	if raw.Names[0] == "InRelease" {
		text, signed, sig, err = signature.SplitClearsigned(raw.data[0])
		if errors.Is(err, failure.ErrNoSignature) && repo.Trusted {
			text, err = raw.data[0], nil
		}
		if err != nil {
			return nil, nil, err
		}
	} else {
		text, signed = raw.data[0], raw.data[0]
		if len(raw.data) > 1 && !repo.Trusted {
			if sig, err = signature.Dearmor(raw.data[1], openpgp.SignatureType); err != nil {
				return nil, nil, fmt.Errorf("%w: Release.gpg: %w", failure.ErrBadSignature, err)
			}
		}
	}
	if repo.Trusted {
		j.said.warn("%s: NOT VERIFIED, because it is trusted without a signature (%s)", repo,
			cmp.Or(repo.Origin(), "by request"))
		return text, nil, nil
	}
	ring, err := j.keyring(repo)
	if err != nil {
		return nil, nil, err
	}
	now, v := j.now(), j.host.Validity(repo, "")
	if !v.CheckDate {
		now = time.Time{}
	}
	signers, err = ring.Verify(signed, sig, now, v.Future, signature.Leniency{})
	allow := signature.Leniency{WeakKeys: repo.Quirks.WeakKeys,
		ExpiredKeys: repo.Quirks.ExpiredKeys}
	if err != nil && allow != (signature.Leniency{}) {
		strict := err
		if signers, err = ring.Verify(signed, sig, now, v.Future, allow); err == nil {
			j.said.warn(
				"%s: its signature is accepted because the suite is that old, though it would "+
					"not be for a newer one (%v): whoever can forge such signatures can alter "+
					"what you get",
				repo, strict)
		}
	}
	return text, signers, err
}

// keyring is Host.keyring, once for each set of keyrings.
func (j *judge) keyring(repo aptconf.Repo) (*signature.Keyring, error) {
	id := repo.KeySources()
	j.mu.Lock()
	defer j.mu.Unlock()
	if k, ok := j.keys[id]; ok {
		return k, nil
	}
	k, err := j.host.Keyring(repo)
	if err == nil {
		j.keys[id] = k
	}
	return k, err
}

// Keyring is the keys that may sign a repository, in the binary form of /usr/share/keyrings, for a
// program that verifies by itself.
func (rs *ReleaseFiles) Keyring(repo aptconf.Repo) ([]byte, error) {
	k, err := rs.judge.keyring(repo)
	if err != nil {
		return nil, failure.WithHint(fmt.Errorf("%s: %w", repo, err))
	}
	var out bytes.Buffer
	for _, e := range k.EntityList {
		if err := e.Serialize(&out); err != nil {
			return nil, fmt.Errorf("%s: writing a keyring: %w", repo, err)
		}
	}
	return out.Bytes(), nil
}

// Proxy is the proxy that a URI is asked for through, "" for none.
func (rs *ReleaseFiles) Proxy(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", failure.Syntax("URL %q: %v", uri, err)
	}
	proxy, err := rs.judge.host.Proxy(u)
	if err != nil || proxy == nil {
		return "", err
	}
	return proxy.String(), nil
}
