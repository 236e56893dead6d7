package bootstrap

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
)

// Options say what to bootstrap and where to.
type Options struct {
	Holder jails.Holder
	// Tree is an empty directory made by Holder.MakeRoot.
	Tree   string
	Client *archive.Client
	// CacheDir is the archive client's cache directory.
	CacheDir string
	// Releases are the suites that packages are taken from, the suite itself first.
	Releases []*release.File
	// Selection is the packages to install, where they are fixed beforehand: then nothing is
	// chosen, and Releases may be empty.
	Selection *Selection
	// Repos are what the tree's apt is told to use; default: those of Releases.
	Repos []aptconf.Repo

	Suite   suites.Suite
	Arch    string
	Variant string // default "buildd"
	Include []string
	// Exclude are packages to leave out although the variant has them.
	Exclude []string
	// Workers is how many packages are unpacked at once; 0 means one per processor.
	Workers int
	// Epoch is the time that nothing in the tree is younger than, and SOURCE_DATE_EPOCH for
	// maintainer scripts; default: the date of the newest Release file.
	Epoch time.Time
	// Bootstrapper is one of Bootstrappers; default Native.
	Bootstrapper string
	// UseDpkg has dpkg unpack the packages. The native bootstrapper does so by itself where its own
	// unpacking would not give what dpkg gives.
	UseDpkg bool

	// Log receives what the jail's commands say; nil discards it.
	Log io.Writer
	// Progress is told how it goes; its functions may be nil. They are called one at a time.
	Progress Progress
}

// Progress is what the user may want to see.
type Progress struct {
	Phase    func(name string)
	Unpacked func(name string, bytes int64)
	// Fetched is called when all packages are in the cache, with those that were used.
	Fetched func([]*index.Package)
}

// Timing is how long one phase took.
type Timing struct {
	Phase    string
	Duration time.Duration
}

// Result is what was made.
type Result struct {
	Packages []apt.Package
	// Selection is what the native bootstrapper installed, and Epoch the one that it used.
	Selection Selection
	Epoch     time.Time
	Timings   []Timing
	// Fallback is why dpkg had to unpack the packages; "" when it did not.
	Fallback string
}

func (o *Options) validate() error {
	switch {
	case o.Holder == nil || o.Tree == "" || o.CacheDir == "":
		return fmt.Errorf("bootstrap: Holder, Tree and CacheDir must be given")
	case o.Arch == "":
		return fmt.Errorf("bootstrap: no architecture is given")
	}
	if o.Variant == "" {
		o.Variant = VariantBuildd
	}
	if o.Bootstrapper == "" {
		o.Bootstrapper = Native
	}
	if !slices.Contains(Bootstrappers(), o.Bootstrapper) {
		return fault.New(fault.Usage, "use one of "+strings.Join(Bootstrappers(), ", "),
			"unknown bootstrapper %q", o.Bootstrapper)
	}
	if o.Selection != nil && o.Bootstrapper != Native {
		return fault.New(fault.Usage, "use --bootstrapper native",
			"%s chooses its packages by itself", o.Bootstrapper)
	}
	if o.Epoch.IsZero() {
		for _, r := range o.Releases {
			if r.Date().After(o.Epoch) {
				o.Epoch = r.Date()
			}
		}
	}
	if o.Repos == nil {
		for _, r := range o.Releases {
			o.Repos = append(o.Repos, r.Repo())
		}
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return nil
}
