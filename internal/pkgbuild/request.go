package pkgbuild

import (
	"context"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"nsbuild/internal/bases"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/hook"
	"nsbuild/internal/kept"
	"nsbuild/internal/plan"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/strays"
)

// Request is a build as it is asked for. Validate tells whether it can be done at all.
type Request struct {
	What
	Target
	How
	Places
	Keeping
	Person
	Kind
	Additions
	Checks
	Said Said
}

// What is built.
type What struct {
	From    string // a path, a URL, a name, or the file of a plan, which decides most of the rest
	ArchAny bool   // build architecture-dependent packages
	ArchAll bool   // build architecture-independent packages
	Source  bool   // build the source package too
	// gitsrc.Head or gitsrc.Index: build a source directory as git has it; "": as it lies there
	Git string
}

// Target is what it is built for, and over.
type Target struct {
	Suite    string // "": the changelog's, else DefaultSuite
	Base     string // "": the suite's
	Mirror   string // of a base that is to be made
	Arch     string // of the base; "": the machine's own
	Host     string // for which is built; "": the base's
	Profiles []string
	Exact    *Exact // what the base has is all that there is; nil: build dependencies come to it
}

// Exact is a build over a base which has all that the build needs: nothing is installed, no mirror
// is asked, and the base is not brought up to date.
type Exact struct {
	Tree        string   // where the source is unpacked, absolute; "": where it is usually
	Environment []string // besides PATH, HOME, SHELL and the user's names, each NAME=VALUE
	// Packages are the files that the base was made of.
	Packages []plan.Package
}

// tree is where the source is unpacked; "" where it is usually.
func (e *Exact) tree() string {
	if e == nil {
		return ""
	}
	return e.Tree
}

// How it is built.
type How struct {
	Options   []string // of DEB_BUILD_OPTIONS, "parallel=N" among them or not
	Jobs      int      // the N, whatever Options say; 0: they, or the machine, decide
	Explainer string   // of build dependencies that cannot be installed
	Resolver  string   // of build dependencies; "": see resolver
	// Alternatives says whether every alternative of a relation counts (AnyAlternative), or the
	// first (FirstAlternative); "" is as the resolver does by itself.
	Alternatives string
	Scratch      string // ScratchAuto, ScratchTmpfs, ScratchDisk or ScratchCopy
	// PlainSources are built in a plain tree where the kernel cannot hide an overlay, besides those
	// of the list that comes with nsbuild.
	PlainSources []string
	// ScratchSize is how large a tmpfs may grow, in bytes; 0 lets free memory decide.
	ScratchSize int64
	// MaxResults is how large the results may be, in bytes; 0 is DefaultMaxResults.
	MaxResults int64
	// Limits bound everything that runs for one build together: what it writes to a tmpfs is
	// memory, too.
	Limits   sandbox.Limits
	NoLayers bool // neither use nor keep dependency layers
	Vary     Vary // what the build finds otherwise than usual
	// Hold is called when all is ready, and the build begins when it returns; nil: at once
	Hold func(context.Context) error
	// Timeout is how long the build may take, and Silence for how long it may write nothing to its
	// log; 0 is without limit.
	Timeout, Silence time.Duration
	// what to do about processes that the build leaves running; the log names them in any case
	Strays strays.Policy
	Hooks  *hook.Set // nil: none; they say themselves whether they have the network
	// how a base is made that is missing; nil: as it was asked for
	NewBase func(asked bases.Options) (bases.Options, error)
	// of a base that is brought up to date; nil: none
	UpdateHooks func() (bases.Hooks, error)
}

// Places are where goes what comes of it.
type Places struct {
	Output string // directory for the results; "": see outputDir
	Under  string // the name of a directory in that one, where they go instead; "": none
	LogDir string // directory of the log; "": that of the results
	NoLog  bool   // leave no log behind
	// KeepLogs is how many logs stay of one version for one architecture and suite; 0: all
	KeepLogs int
	Result   string // file for the machine-readable result; "" for none
	JUnit    string // file for the same as JUnit XML; "" for none
	LockTo   string // file for the lock of what was built; "" for none
	KeepLock bool   // a lock beside the results
	Report   string // file for the same as a page; "" for none
	// Provenance is the file for the statement how it was built: the result then has all of it.
	Provenance string
	Traced     bool      // the result has all of it, whether there is such a file or not
	Verbose    bool      // show the package's log as it comes
	ShowLog    io.Writer // where; nil: with the progress
}

// Keeping says what of the build is kept, to be looked into later.
type Keeping struct {
	Keep       string      // when it is: KeepFailed, KeepAlways or KeepNever
	KeepLimits kept.Limits // of all that is kept
}

// Person is who waits for it, and may be asked.
type Person struct {
	// Reported, when set, is told how the build has ended, before what it wrote is kept.
	Reported       func(*Outcome, error)
	Terminal       *os.File // for shells; nil: there is none
	ShellOnFailure bool     // open a shell in the jail that failed
	Shell          *Streams // of a shell in place of the build; see InsteadOfBuild
}

// Said tells where the values of a request come from, by the names of nsbuild's flags. What is not
// in it was not said.
type Said map[string]Origin

// Origin is where a value comes from.
type Origin struct {
	Place string // as its user knows it: "--dist", or "config.toml:3: dist"
	Now   bool   // it was said for this build, and is not configured
}

// place is what a user calls the place of a flag's value.
func (s Said) place(flag string) string {
	if o, ok := s[flag]; ok {
		return o.Place
	}
	return "--" + flag
}

// said tells whether anything was said by a flag.
func (s Said) said(flag string) bool {
	_, ok := s[flag]
	return ok
}

// now tells whether it was said for this build.
func (s Said) now(flag string) bool { return s[flag].Now }

// Several are the builds that one command asks for.
type Several struct {
	Request          // what is the same for all of them
	Matrix           // what each source is built for
	Sources []string // From of each
	AtOnce  int      // how many are built at a time
	Chain   bool     // each is built with the packages of those before it
	PlanTo  string   // the file of the plan that is to be made, instead of building; "": none
}

// traced tells whether something is written that must name the file of every package.
func (p *Places) traced() bool {
	return p.Traced || p.Provenance != "" || p.KeepLock || p.LockTo != ""
}

// beside tells whether more than one of them runs at a time.
func (s *Several) beside() bool { return s.Many() && s.AtOnce > 1 && !s.Chain }

// planned tells whether what is built is a plan.
func (w *What) planned() bool { return strings.HasSuffix(w.From, plan.Suffix) }

// buildType is what is built, as dpkg-buildpackage --build takes it.
func (w *What) buildType() string { return buildlog.BuildType(w.Source, w.ArchAny, w.ArchAll) }

// words are those of DEB_BUILD_OPTIONS, as far as they were asked for.
func (h *How) words() []string {
	if h.Jobs == 0 {
		return h.Options
	}
	return append(slices.DeleteFunc(slices.Clone(h.Options), saysJobs),
		"parallel="+strconv.Itoa(h.Jobs))
}

// saysJobs holds for the word of DEB_BUILD_OPTIONS with the number of processes.
func saysJobs(word string) bool { return strings.HasPrefix(word, "parallel=") }
