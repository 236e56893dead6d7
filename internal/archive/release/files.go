package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/archive/signature"
)

// Options say which Release files count, and how often a mirror is asked for them.
type Options struct {
	Host         *aptconf.Host // what the host's apt trusts, and how long
	Log          logrus.FieldLogger
	Offline      bool          // use what is cached, name what is missing
	RefreshAfter time.Duration // how old an answer may be before the mirror is asked again
	Now          func() time.Time
}

// Files are the Release files of suites: fetched, verified, and kept in a cache.
type Files struct {
	judge        *judge
	cache        *cache.Cache
	fetch        *fetch.Fetcher
	log          logrus.FieldLogger
	said         *onceLog
	offline      bool
	refreshAfter time.Duration
	now          func() time.Time
}

// New keeps Release files in a cache.
func New(store *cache.Cache, fetcher *fetch.Fetcher, o Options) *Files {
	said := &onceLog{log: o.Log, said: map[string]bool{}}
	return &Files{cache: store, fetch: fetcher, log: o.Log, said: said, offline: o.Offline,
		refreshAfter: o.RefreshAfter, now: o.Now,
		judge: &judge{host: o.Host, now: o.Now, keys: map[string]*signature.Keyring{},
			said: said}}
}

// Release fetches and verifies a suite's Release file: InRelease, or Release with Release.gpg. It
// asks the mirror, with a conditional request, when it has not done so for Options.RefreshAfter.
// The signature is verified every time, also that of a cached file, for keys and clocks change.
func (rs *Files) Release(ctx context.Context, repo aptconf.Repo) (*File, error) {
	st, err := rs.release(ctx, repo, false)
	if err != nil {
		return nil, failure.WithHint(fmt.Errorf("%s: %w", repo, err))
	}
	r := &File{repo: repo, st: st}
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
func (rs *Files) Releases(ctx context.Context, repos []aptconf.Repo) ([]*File, error) {
	all := make([]*File, len(repos))
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
	var out []*File
	for _, r := range all {
		if r != nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// Refresh asks the mirror for a Release file anew and unconditionally, since something was not as
// the state says. It returns what the suite holds now, which is the state that was given when
// nothing has changed.
func (rs *Files) Refresh(ctx context.Context, r *File, st *State) (*State, error) {
	fresh, err := rs.release(ctx, r.repo, true)
	if err != nil {
		return nil, err
	}
	if fresh.digest == st.digest {
		return st, nil
	}
	r.update(fresh)
	return fresh, nil
}

// release is Release; force asks the mirror in any case and unconditionally.
func (rs *Files) release(ctx context.Context, repo aptconf.Repo, force bool) (*State,
	error) {
	cached, st, cacheErr := rs.cachedFile(repo)
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
					&rawFile{
						cachedFile: cachedFile{Checked: rs.now(), Absent: true}}))
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
		fresh.stored = append(fresh.stored, Stored{name, path})
	}
	return fresh, rs.saveRelease(repo, raw)
}

// Keyring is the keys that may sign a repository, in the binary form of /usr/share/keyrings, for a
// program that verifies by itself.
func (rs *Files) Keyring(repo aptconf.Repo) ([]byte, error) {
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
func (rs *Files) Proxy(uri string) (string, error) {
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
