// Package result is the machine-readable outcome of one build: result.json, which lies beside the
// artefacts.
//
// Its schema has a number. Fields may be added under the same number; a field that changes its
// meaning, its unit or its name makes a new one. The package holds the types and writes them; what
// stands in them is gathered by internal/pkgbuild.
package result

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/compared"
	"nsbuild/internal/rawjson"
)

// Schema is the number of the format that this package writes.
const Schema = 1

// SeveralSchema is the number of the format of Several.
const SeveralSchema = 1

// Result is one build. Times are UTC (RFC 3339), durations seconds, sizes bytes; hashes are
// lower-case hexadecimal.
type Result struct {
	Schema  int    `json:"schema"`
	Program string `json:"program"` // "nsbuild 0.1.0"

	Source  Source  `json:"source"`
	Target  Target  `json:"target"`
	Inputs  Inputs  `json:"inputs"`
	Outcome Outcome `json:"outcome"`

	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Stages   []Stage   `json:"stages,omitempty"` // of every attempt, in the order in which they ran
	Steps    []Step    `json:"steps,omitempty"`  // of dpkg-buildpackage, as its log tells of them

	Samples   *Samples   `json:"samples,omitempty"`
	Use       Use        `json:"use"`
	Isolation Isolation  `json:"isolation"`
	Strays    []Stray    `json:"strays,omitempty"`
	Tried     []Tried    `json:"tried,omitempty"` // of stages that tried something
	Artefacts []Artefact `json:"artefacts,omitempty"`
	Log       string     `json:"log,omitempty"` // path of the .build file
	Checks    []Check    `json:"checks,omitempty"`
	Compare   *Compare   `json:"compare,omitempty"` // where one was asked for
	// RetryOf is the kept build that this one has gone on with: it is not from a clean tree.
	RetryOf string `json:"retry_of,omitempty"`
	Hooks   []Hook `json:"hooks,omitempty"` // in the order in which they ran

	// Escaped are the JSON Pointers (RFC 6901) of texts above that are not UTF-8, and so written
	// otherwise (see internal/rawjson). It is set when the result is written.
	Escaped []string `json:"escaped,omitempty"`
}

// Several is what became of the builds of one command.
type Several struct {
	Schema   int       `json:"schema"`
	Program  string    `json:"program"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	// Results has one for each source, in their order; each has the Escaped of its own.
	Results []*Result `json:"results"`
}

// legible is a result as it is written: its schema is set, and what is not UTF-8 is escaped.
func (r *Result) legible() *Result {
	out := *r
	out.Schema, out.Escaped = Schema, nil
	out, out.Escaped = rawjson.Legible(out)
	return &out
}

// Source says what was built.
type Source struct {
	Name      string   `json:"name"`
	Version   string   `json:"version"`             // with its epoch
	From      string   `json:"from"`                // as asked for: a path, a URL, a name
	Format    string   `json:"format,omitempty"`    // "3.0 (quilt)"
	Signature string   `json:"signature,omitempty"` // good, unknown-key, doubtful, unsigned
	Signer    string   `json:"signer,omitempty"`
	Key       string   `json:"key,omitempty"` // fingerprint
	DSC       *Hashed  `json:"dsc,omitempty"` // the .dsc itself
	Files     []Hashed `json:"files,omitempty"`
	// TreeDigest is that of a source directory: of names, kinds, modes and contents.
	TreeDigest string    `json:"tree_digest,omitempty"`
	Changelog  time.Time `json:"changelog_date,omitzero"`
}

// Target says for what it was built.
type Target struct {
	Distribution string   `json:"distribution"`     // the suite
	Vendor       string   `json:"vendor,omitempty"` // debian, ubuntu, …
	BuildArch    string   `json:"build_arch"`
	HostArch     string   `json:"host_arch"`
	BuildType    string   `json:"build_type"` // as dpkg-buildpackage --build takes it
	Profiles     []string `json:"profiles,omitempty"`
	Options      []string `json:"deb_build_options,omitempty"`
}

// Inputs are everything that the build was made from, but the source: what a repetition needs.
type Inputs struct {
	Base     Base      `json:"base"`
	Releases []Release `json:"releases,omitempty"`
	Layer    Layer     `json:"layer"`
	// Dependencies are what was installed for the build, beyond the base.
	Dependencies []Package `json:"dependencies,omitempty"`
}

// Base is the base that was used.
type Base struct {
	Name       string `json:"name"`
	Generation int    `json:"generation,omitempty"`
	Digest     string `json:"digest,omitempty"` // of its installed set
	// Packages are those of it that the build had.
	Packages []Package `json:"packages,omitempty"`
}

// Release is an archive suite whose indices were used.
type Release struct {
	URI    string    `json:"uri"`
	Suite  string    `json:"suite"`
	Date   time.Time `json:"date,omitzero"`
	SHA256 string    `json:"sha256,omitempty"` // of the Release file's signed text
}

// Layer is the dependency layer.
type Layer struct {
	Key    string `json:"key,omitempty"`
	Cached bool   `json:"cached"` // it was there already
}

// Package is a binary package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	// The file that it was installed from: where that is not known, these are absent.
	Size   int64  `json:"size,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	URI    string `json:"uri,omitempty"`  // of the repository; "" for one of the cache alone
	File   string `json:"file,omitempty"` // there
	// Release is the SHA-256 of the Release file whose lists name it; see Inputs.Releases.
	Release string `json:"release,omitempty"`
	// InstalledKiB is what it says that it takes when it is installed.
	InstalledKiB int64 `json:"installed_kib,omitempty"`
}

// Outcome is how it ended.
type Outcome struct {
	// Status is sbuild's word: successful, attempted, given-back, failed or skipped.
	Status    string  `json:"status"`
	FailStage string  `json:"fail_stage,omitempty"` // sbuild's name of the stage
	Error     string  `json:"error,omitempty"`
	Hint      string  `json:"hint,omitempty"`
	Exit      int     `json:"exit"`             // of dpkg-buildpackage; 0 when it did not run
	Signal    int     `json:"signal,omitempty"` // that ended it
	Causes    []Cause `json:"causes,omitempty"` // of a failure, the most probable first
}

// Cause is a probable cause of a failure.
type Cause struct {
	Kind string `json:"kind"`
	Line int    `json:"line"` // of the log
	Text string `json:"text"`
	// Certain tells that it is the cause; otherwise it is likely to be.
	Certain bool `json:"certain,omitempty"`
	// Packages have what is missing.
	Packages []string `json:"packages,omitempty"`
}

// Stage is one stage of the build and its time.
type Stage struct {
	Name    string  `json:"name"`
	Start   float64 `json:"start_seconds,omitempty"` // since the build's start
	Seconds float64 `json:"seconds"`
	Failed  bool    `json:"failed,omitempty"`
	Attempt int     `json:"attempt,omitempty"` // which one it belongs to, from 1 on
}

// Step is a command of debhelper or dpkg within the build. It lasts until the next one.
type Step struct {
	Name    string  `json:"name"`
	Line    int     `json:"line"`          // of the log
	Start   float64 `json:"start_seconds"` // since the build's start
	Seconds float64 `json:"seconds"`
}

// Samples are what ran in the sandbox, at even distances. Where nothing was running they are 0.
type Samples struct {
	Start     float64   `json:"start_seconds"` // of the first, since the build's start
	Every     float64   `json:"every_seconds"`
	CPU       []float64 `json:"cpu"`       // processors that were busy
	Memory    []int64   `json:"memory"`    // bytes, at most; what processes share counts for each
	Processes []int     `json:"processes"` // at most
	Compilers []int     `json:"compilers"` // of these, compilers and linkers
}

// Use is what the build used of the machine.
type Use struct {
	SpaceKiB   int64   `json:"space_kib"`             // of tree and artefacts; -1 when not known
	PeakMemory int64   `json:"peak_memory,omitempty"` // bytes
	UserTime   float64 `json:"user_seconds,omitempty"`
	SystemTime float64 `json:"system_seconds,omitempty"`
	Downloaded int64   `json:"downloaded"` // bytes
	OOMKills   int     `json:"oom_kills,omitempty"`
}

// Isolation is how the jail was made.
type Isolation struct {
	Rung    string `json:"rung"`    // of the ladder of privilege
	Scratch string `json:"scratch"` // "tmpfs", "disk", "copy"
	// "full", or "shared-pid-namespace" (docs/security.md); absent where nothing was started
	Level   string `json:"level,omitempty"`
	Network bool   `json:"network"` // true only when it was asked for
	Host    string `json:"hostname,omitempty"`
}

// Stray is a process that was still running when the build ended.
type Stray struct {
	PID     int    `json:"pid"` // as seen in the jail
	Command string `json:"command"`
	Parent  string `json:"parent,omitempty"`
}

// Tried is what a stage tried that no build should need.
type Tried struct {
	Stage string `json:"stage"`
	// Unreachable is how often something would have reached another machine, which a build cannot;
	// Unanswered, how often something asked where nobody answers: as who looks up a name does.
	Unreachable int64 `json:"unreachable"`
	Unanswered  int64 `json:"unanswered"`
	// Written are files outside of the build directory and of /tmp.
	Written     []Written `json:"written,omitempty"`
	WrittenMore int       `json:"written_more,omitempty"` // how many there are besides
}

// Written is a file that was made, changed or deleted.
type Written struct {
	Path    string `json:"path"`
	Deleted bool   `json:"deleted,omitempty"`
}

// Hashed is a file and its hash.
type Hashed struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
}

// Artefact is a file that the build left.
type Artefact struct {
	Hashed
	Kind string `json:"kind"` // "deb", "udeb", "changes", "buildinfo", "dsc", "other"
	Path string `json:"path"`
}

// Check is one check after the build: lintian, autopkgtest, piuparts.
type Check struct {
	Name    string  `json:"name"`
	Outcome string  `json:"outcome"` // "pass", "warn", "fail", "skipped"
	Detail  string  `json:"detail,omitempty"`
	Seconds float64 `json:"seconds"`
	// Findings are lines for people: lintian's tags, what a failing test has printed last, files
	// that are left. There are no more of them than fit a screen or two; the log has all.
	Findings []string `json:"findings,omitempty"`
	Tests    []Test   `json:"tests,omitempty"` // of autopkgtest
}

// Test is one of the source's own tests.
type Test struct {
	Name    string   `json:"name"`
	Outcome string   `json:"outcome"` // "pass", "fail", "skipped"
	Detail  string   `json:"detail,omitempty"`
	Last    []string `json:"last,omitempty"` // lines that it has printed, when it failed
}

// How a comparison of what was built has ended.
const (
	CompareSame    = "same"    // byte by byte
	CompareDiffers = "differs" // see Comparison
	CompareNothing = "nothing" // there is nothing to compare with
	CompareFailed  = "failed"  // it could not be made
)

// Compare is what was built, compared with other packages of the source.
type Compare struct {
	With    string `json:"with"` // as asked for: "archive", "previous", or a directory
	Status  string `json:"status"`
	Version string `json:"version,omitempty"` // of the source that it was compared with
	Note    string `json:"note,omitempty"`    // why it was not
	// Comparison is shortened: nsbuild compare has all of it.
	Comparison *compared.Comparison `json:"comparison,omitempty"`
	Seconds    float64              `json:"seconds"`
}

// Hook is one hook that ran.
type Hook struct {
	Name    string   `json:"name"`    // of its file, or the command
	Stage   string   `json:"stage"`   // see docs/hooks.md
	Outcome string   `json:"outcome"` // "success", or why not
	Network bool     `json:"network"`
	Seconds float64  `json:"seconds"`
	Strays  []string `json:"strays,omitempty"` // command lines of what it left running
}

// Write stores a result at path, in one step: whoever reads path sees the old result or this one.
// Its schema is set.
func Write(path string, r *Result) error { return write(path, r.legible()) }

// WriteSeveral stores the results of several builds as Write does. Its schema is set, and theirs.
func WriteSeveral(path string, s *Several) error {
	out := *s
	out.Schema, out.Results = SeveralSchema, make([]*Result, len(s.Results))
	for i, r := range s.Results {
		out.Results[i] = r.legible()
	}
	return write(path, out)
}

func write(path string, document any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(document); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	err := atomicfile.Write(path, text.Bytes(), atomicfile.Options{Mode: 0o644, Sync: true})
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
