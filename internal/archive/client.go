package archive

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/archive/signature"
	"nsbuild/internal/fault"
)

// Options configure a Client. Only CacheDir is necessary.
type Options struct {
	CacheDir string             // made if absent; several processes may share it
	Host     *aptconf.Host      // nil: a host without apt
	Log      logrus.FieldLogger // nil: silence
	Offline  bool               // use what is cached, name what is missing
	// how old an answer about a Release may be before the mirror is asked again; 0 is ten minutes,
	// below 0 is at once
	RefreshAfter time.Duration
	Timeout      time.Duration        // 0: apt's Acquire::http::Timeout, else 30 s
	Retries      int                  // 0: apt's Acquire::Retries, else 3; below 0: none
	Parallel     int                  // transfers per host; 0 is 4
	Progress     func(fetch.Progress) // called from several goroutines
	Now          func() time.Time     // nil: time.Now
}

// Client fetches from archives into a cache. It may be used by several goroutines, and its cache by
// several processes.
//
// Files in the cache are named after their digest and appear under that name only when complete and
// verified. They are hashed again when they are first used by a Client, which notices whatever a
// crash, a full disk or a failing one did to them; so nothing needs to be fsynced, and a bad file
// is fetched again.
type Client struct {
	*ReleaseFiles
	*Indices
	*Pool
	Cache *cache.Cache
	*fetch.Fetcher
}

// NewClient makes a client and its cache's directories.
func NewClient(o Options) (*Client, error) {
	if o.CacheDir == "" {
		return nil, errors.New("archive: no cache directory")
	}
	if o.Host == nil {
		o.Host = &aptconf.Host{}
	}
	if o.Log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		o.Log = silent
	}
	if o.RefreshAfter == 0 {
		o.RefreshAfter = 10 * time.Minute
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
		if d, ok := o.Host.Timeout(); ok {
			o.Timeout = d
		}
	}
	if o.Retries == 0 {
		o.Retries = 3
		if n, ok := o.Host.Retries(); ok {
			o.Retries = n
		}
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.Progress == nil {
		o.Progress = func(fetch.Progress) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	store, err := cache.Open(o.CacheDir, o.Log)
	if err != nil {
		return nil, err
	}
	fetcher := fetch.New(store, fetch.Options{Host: o.Host, Log: o.Log, Offline: o.Offline,
		Timeout: o.Timeout, Retries: o.Retries, Parallel: o.Parallel, Progress: o.Progress})
	releases := &ReleaseFiles{cache: store, fetch: fetcher, log: o.Log, offline: o.Offline,
		refreshAfter: o.RefreshAfter, now: o.Now,
		judge: &judge{host: o.Host, now: o.Now, keys: map[string]*signature.Keyring{}},
		said:  &onceLog{log: o.Log, said: map[string]bool{}}}
	releases.judge.said = releases.said
	c := &Client{ReleaseFiles: releases, Cache: store, Fetcher: fetcher,
		Indices: &Indices{releases: releases, cache: store, fetch: fetcher, log: o.Log,
			offline: o.Offline, byHash: o.Host.ByHash()},
		Pool: &Pool{Copies: &Copies{cache: store, log: o.Log}, cache: store, fetch: fetcher}}
	for _, w := range o.Host.Warnings {
		o.Log.Warn("apt configuration: " + w)
	}
	if err := store.Sweep(); err != nil {
		o.Log.Warnf("cache: %v", err)
	}
	return c, nil
}

// onceLog says a thing once.
type onceLog struct {
	log  logrus.FieldLogger
	mu   sync.Mutex
	said map[string]bool
}

// warn says something once in the life of the client: a Release file is judged each time that it is
// read.
func (l *onceLog) warn(format string, args ...any) { l.once(l.log, fmt.Sprintf(format, args...)) }

// insist is warn for those, too, who want to know no more than they must.
func (l *onceLog) insist(format string, args ...any) {
	l.once(l.log.WithField(fault.Shown, true), fmt.Sprintf(format, args...))
}

// once writes a warning that was not yet written.
func (l *onceLog) once(log logrus.FieldLogger, text string) {
	l.mu.Lock()
	again := l.said[text]
	l.said[text] = true
	l.mu.Unlock()
	if !again {
		log.Warn(text)
	}
}

// Close ends open connections, and the use of what is in the cache.
func (c *Client) Close() error {
	c.Fetcher.Close()
	return c.Cache.Close()
}
