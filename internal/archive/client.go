package archive

import (
	"errors"
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/archive/release"
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
	*release.Files
	*index.Indices
	*pool.Pool
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
	releases := release.New(store, fetcher, release.Options{Host: o.Host, Log: o.Log,
		Offline: o.Offline, RefreshAfter: o.RefreshAfter, Now: o.Now})
	c := &Client{Files: releases, Cache: store, Fetcher: fetcher,
		Pool: pool.New(store, fetcher, o.Log),
		Indices: index.New(releases, store, fetcher, index.Options{Log: o.Log, Offline: o.Offline,
			ByHash: o.Host.ByHash()})}
	for _, w := range o.Host.Warnings {
		o.Log.Warn("apt configuration: " + w)
	}
	if err := store.Sweep(); err != nil {
		o.Log.Warnf("cache: %v", err)
	}
	return c, nil
}

// Close ends open connections, and the use of what is in the cache.
func (c *Client) Close() error {
	c.Fetcher.Close()
	return c.Cache.Close()
}
