package cache_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/index"
)

// TestTrimBesideUse has processes, each with a client of its own, take packages and lists into use,
// while the whole cache is deleted again and again: what they were given is there as long as they
// use it.
func TestTrimBesideUse(t *testing.T) {
	m := archivetest.New(t, nil)
	stop := make(chan struct{})
	var cleaner sync.WaitGroup
	cleaner.Go(func() {
		c := m.Client()
		defer c.Close()
		for {
			select {
			case <-stop:
				return
			default:
			}
			all, err := c.Cache.Entries(t.Context())
			if err != nil {
				t.Error(err)
			}
			if _, _, err := c.Cache.Trim(all); err != nil {
				t.Error(err)
			}
		}
	})
	var users sync.WaitGroup
	for range 6 {
		users.Go(func() {
			for range 15 {
				if err := useAll(t, m); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	users.Wait()
	close(stop)
	cleaner.Wait()
	left, err := filepath.Glob(filepath.Join(m.Options.CacheDir, "claims", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %q %v", left, err)
	}
}

// useAll has a client fetch all packages and lists, and then reads them.
func useAll(t *testing.T, m *archivetest.Mirror) (err error) {
	c := m.Client()
	defer func() { err = errors.Join(err, c.Close()) }()
	releases, err := c.Releases(t.Context(), []aptconf.Repo{m.Repo})
	if err != nil {
		return fmt.Errorf("releases: %w", err)
	}
	lists, err := c.AptLists(t.Context(), releases[0], []string{"main"}, []string{"amd64"}, "")
	if err != nil {
		return fmt.Errorf("lists: %w", err)
	}
	var packages []*index.Package
	err = c.Packages(t.Context(), releases[0], "main", "amd64", func(p *index.Package) error {
		packages = append(packages, p)
		return nil
	})
	if err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	debs, err := c.Debs(t.Context(), packages)
	if err != nil {
		return fmt.Errorf("debs: %w", err)
	}
	for _, l := range lists {
		if _, err := os.ReadFile(l.Path); err != nil {
			return err
		}
	}
	for _, path := range debs {
		if _, err := os.ReadFile(path); err != nil {
			return err
		}
	}
	return nil
}

// TestClaimsOfTheDead has claims whose process is gone: they hold nothing, and go.
func TestClaimsOfTheDead(t *testing.T) {
	m := archivetest.New(t, nil)
	c := m.Client()
	if err := useAll(t, m); err != nil {
		t.Fatal(err)
	}
	all, err := c.Cache.Entries(t.Context())
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	dead := filepath.Join(m.Options.CacheDir, "claims", "dead")
	name, err := filepath.Rel(m.Options.CacheDir, all[0].Path)
	if err == nil {
		err = os.WriteFile(dead, []byte(name+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if freed, used, err := c.Cache.Trim(all); err != nil || used != 0 || freed == 0 {
		t.Errorf("freed %d, %d in use: %v", freed, used, err)
	}
	if _, err := os.Lstat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the claims of the dead are there: %v", err)
	}
}
