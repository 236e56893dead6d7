package hook

import "slices"

// Operation is what nsbuild is doing when hooks run.
type Operation string

// The operations, by the names of their verbs.
const (
	Build  Operation = "build"
	Create Operation = "create"
	Update Operation = "update"
	Exec   Operation = "run"
	Shell  Operation = "shell"
	// Session is the beginning of one: its commands come later, and each finds what the hooks have
	// left.
	Session Operation = "session"
)

// Stages are those that an operation comes by.
func (o Operation) Stages() []Stage {
	switch o {
	case Create:
		return []Stage{Created, Updated}
	case Update:
		return []Stage{Start, Updated}
	case Exec, Shell, Session:
		return []Stage{Start, BeforeRun}
	}
	return []Stage{Start, BeforeDeps, DepsFailed, BeforeBuild, BuildEnded, AfterBuild, BuildFailed,
		AfterCollect, Cleanup}
}

// pbuilders is pbuilder's name of an operation.
func (o Operation) pbuilders() string {
	switch o {
	case Exec:
		return "execute"
	case Shell, Session:
		return "login"
	}
	return string(o)
}

// Stage is the moment at which a hook runs. Native hooks lie in a directory of that name with ".d"
// at its end.
type Stage string

// The stages of a build in the jail, in their order, then those of bases and of commands, then
// those on the host. Start is theirs, too.
const (
	Start Stage = "start" // the root is there, and nothing has been done in it
	// the source is unpacked; what a hook changes outside it lies below the build dependencies
	BeforeDeps  Stage = "before-deps"
	DepsFailed  Stage = "deps-failed"  // the build dependencies cannot be installed
	BeforeBuild Stage = "before-build" // the source is unpacked, the dependencies are installed
	BuildEnded  Stage = "build-ended"  // dpkg-buildpackage has ended, well or not
	// it has ended well; its results are still in the jail alone
	AfterBuild   Stage = "after-build"
	BuildFailed  Stage = "build-failed"  // it has failed
	AfterCollect Stage = "after-collect" // the results are outside
	Cleanup      Stage = "cleanup"       // of every build, before its jail ends

	Created   Stage = "created"    // a base has been made
	Updated   Stage = "updated"    // a base has been made or brought up to date
	BeforeRun Stage = "before-run" // before a command or a shell

	OnHostStart   Stage = "host-start"   // before anything is done in the jail
	OnHostSuccess Stage = "host-success" // the build was successful
	OnHostFailure Stage = "host-failure" // it was not
)

// native are the stages that have directories.
var native = []Stage{Start, BeforeDeps, DepsFailed, BeforeBuild, BuildEnded, AfterBuild,
	BuildFailed, AfterCollect, Cleanup, Created, Updated, BeforeRun}

// letters are the stages of pbuilder's hooks (pbuilder(8), --hookdir).
var letters = map[byte]Stage{'A': BeforeBuild, 'B': AfterBuild, 'C': BuildFailed, 'D': BeforeDeps,
	'E': Updated, 'F': BeforeRun, 'G': Created, 'H': Start, 'I': AfterCollect}

// OnHost tells whether a stage's hooks run on the host.
func (s Stage) OnHost() bool { return s == OnHostStart || s == OnHostSuccess || s == OnHostFailure }

// Failure tells whether a stage comes because something failed. Its hooks have the caller's
// terminal, where there is one.
func (s Stage) Failure() bool { return s == DepsFailed || s == BuildFailed || s == OnHostFailure }

// BeforeLayer are the stages whose hooks change what lies below the build dependencies.
func BeforeLayer() []Stage { return []Stage{Start, BeforeDeps} }

// Commands are sbuild's names of its command hooks (sbuild(1), EXTERNAL COMMANDS), with their
// stages.
func Commands() []Kind { return slices.Clone(commands) }

// Kind is one of sbuild's command hooks.
type Kind struct {
	Option string // --pre-build-commands without the dashes
	Title  string // in the log
	Stages []Stage
}

// FailStage is sbuild's Fail-Stage for a command that fails.
func (k Kind) FailStage() string { return "run-" + k.Option }

var commands = []Kind{
	{"pre-build-commands", "Pre Build Commands", []Stage{OnHostStart}},
	{"chroot-setup-commands", "Chroot Setup Commands", []Stage{Start}},
	{"build-deps-failed-commands", "Build-Deps Install Failed Commands", []Stage{DepsFailed}},
	{"starting-build-commands", "Starting Timed Build Commands", []Stage{BeforeBuild}},
	{"finished-build-commands", "Finished Timed Build Commands", []Stage{BuildEnded}},
	{"build-failed-commands", "Generic Build Failed Commands", []Stage{BuildFailed}},
	{"chroot-cleanup-commands", "Chroot Cleanup Commands", []Stage{Cleanup}},
	{"post-build-commands", "Post Build Commands", []Stage{OnHostSuccess}},
	{"post-build-failed-commands", "Post Build Failed Commands", []Stage{OnHostFailure}},
	{"anything-failed-commands", "", []Stage{DepsFailed, BuildFailed, OnHostFailure}},
}

// FailStage is the Fail-Stage of a build whose hook failed at a stage: sbuild's name where sbuild
// has such a moment.
func (s Stage) FailStage() string {
	for _, k := range commands {
		if k.Stages[0] == s {
			return k.FailStage()
		}
	}
	return "run-hooks-" + string(s)
}

// Title is what the log calls the hooks of a stage.
func (s Stage) Title() string {
	for _, k := range commands {
		if k.Stages[0] == s {
			return k.Title
		}
	}
	return "Hooks: " + string(s)
}
