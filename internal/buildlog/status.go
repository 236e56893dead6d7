package buildlog

import (
	"slices"

	"nsbuild/internal/fault"
)

// Status is the outcome of a build, in sbuild's words.
type Status string

// The outcomes.
const (
	Successful Status = "successful"
	Skipped    Status = "skipped"    // the source builds nothing for this architecture
	Attempted  Status = "attempted"  // the package failed to build
	GivenBack  Status = "given-back" // the build could not begin: not the package's fault
	Failed     Status = "failed"     // anything else
)

// Fail-Stage names, as sbuild 0.89 writes them. Stages of ours have names of their own.
const (
	StageInit            = "init"
	StageChrootArch      = "chroot-arch"
	StageCreateSession   = "create-session"
	StageCreateBuildDir  = "create-build-dir"
	StageResolverSetup   = "resolver setup"
	StageAptClean        = "apt-get-clean"
	StageAptUpdate       = "apt-get-update"
	StageAptUpgrade      = "apt-get-upgrade"
	StageAptDistUpgrade  = "apt-get-dist-upgrade"
	StageFetchSrc        = "fetch-src"
	StageInstallDeps     = "install-deps"
	StageArchCheck       = "arch-check"
	StageUnpack          = "unpack"
	StageUnpackedVersion = "check-unpacked-version"
	StageCheckSpace      = "check-space"
	StageHackBinNMU      = "hack-binNMU"
	StageDumpEnv         = "dump-build-env"
	StageDpkgBuild       = "dpkg-buildpackage"
	StageBuild           = "build"
	StageParseChanges    = "parse-changes"
	StageSourceChanges   = "source-only-changes"
	StagePostBuild       = "post-build"
	StageAbort           = "abort"
	// ours: a process was killed because the memory that the build may have ran out
	StageCheckMemory = "check-memory"
)

// givenBack and attempted are the stages whose failure is not simply "failed". sbuild also lists
// names that it no longer uses; they are left out.
var (
	givenBack = []string{StageFetchSrc, StageInstallDeps, StageUnpack, StageUnpackedVersion,
		StageCheckSpace, StageCheckMemory, StageHackBinNMU, StageAptClean, StageAptUpdate,
		StageAptUpgrade}
	attempted = []string{StageBuild, StageArchCheck}
)

// StatusOf is the status of a build that failed in a stage. A failed check of architectures is
// "skipped" when there is nothing to build: that the caller knows.
func StatusOf(stage string) Status {
	switch {
	case slices.Contains(givenBack, stage):
		return GivenBack
	case slices.Contains(attempted, stage):
		return Attempted
	}
	return Failed
}

// StatusOfError is the status for an error, by its fault.Kind.
func StatusOfError(err error) Status {
	if err == nil {
		return Successful
	}
	switch fault.KindOf(err) {
	case fault.Attempted:
		return Attempted
	case fault.GivenBack:
		return GivenBack
	}
	return Failed
}

// Kind is the kind of error that stands for a status; cmd/nsbuild maps it to the exit status.
// Successful and skipped builds are no errors: ok is false.
func (s Status) Kind() (kind fault.Kind, ok bool) {
	switch s {
	case Successful, Skipped:
		return fault.Internal, false
	case Attempted:
		return fault.Attempted, true
	case GivenBack:
		return fault.GivenBack, true
	}
	return fault.Internal, true
}
