package bootstrap

import (
	"fmt"
	"io"
	"time"

	"nsbuild/internal/archive"
	"nsbuild/internal/sandbox"
)

// Options say what to bootstrap and where to.
type Options struct {
	Holder *sandbox.Holder
	// Tree is an empty directory made by Holder.MakeRoot.
	Tree string
	// DebDir is the directory that the archive client keeps packages in.
	DebDir string

	Suite   archive.Suite
	Arch    string
	Variant string // default "buildd"
	Include []string
	// Workers is how many packages are unpacked at once; 0 means one per processor.
	Workers int
	// Epoch is the time that nothing in the tree is younger than, and SOURCE_DATE_EPOCH for maintainer scripts: the Release file's date.
	Epoch time.Time

	// Log receives what the jail's commands say; nil discards it.
	Log io.Writer
	// Progress is told how it goes; its functions may be nil. They are called one at a time.
	Progress Progress
}

// Progress is what the user may want to see.
type Progress struct {
	Phase    func(name string)
	Unpacked func(name string, bytes int64)
}

// Timing is how long one phase took.
type Timing struct {
	Phase    string
	Duration time.Duration
}

func (o *Options) validate() error {
	switch {
	case o.Holder == nil || o.Tree == "" || o.DebDir == "":
		return fmt.Errorf("bootstrap: Holder, Tree and DebDir must be given")
	case o.Arch == "":
		return fmt.Errorf("bootstrap: no architecture is given")
	}
	if o.Variant == "" {
		o.Variant = VariantBuildd
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return nil
}
