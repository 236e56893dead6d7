package pkgbuild

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/checks"
	"nsbuild/internal/deps"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/gitsrc"
	"nsbuild/internal/hook"
	"nsbuild/internal/plan"
	"nsbuild/internal/sandbox"
)

// Validate refuses what cannot be built as it is asked for, in itself: whatever the machine, the
// archive and the source are. Nothing is made or fetched before.
func (r *Request) Validate() error {
	for _, check := range []func() error{r.checkPlanned, r.checkContents, r.checkTarget, r.checkHow,
		r.checkLimits, r.checkTimes, r.checkKeeping, r.checkPlaces, r.checkVersion, r.checkTools,
		r.checkSign, r.checkRelations, r.checkChecks, r.checkCompare} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// Validate refuses what a command cannot ask for: of one build, and of several together.
func (s *Several) Validate() error {
	plans := slices.ContainsFunc(s.Each(), func(r Request) bool { return r.planned() })
	if err := s.checkMatrix(); err != nil {
		return err
	}
	switch {
	case s.PlanTo != "" && plans:
		return fault.New(fault.Usage, "copy it", "%s %s: what is to be planned is a plan",
			s.place("plan"), s.PlanTo)
	case s.LockTo != "" && (len(s.Sources) > 1 || s.PlanTo != ""):
		return fault.New(fault.Usage, "build them one by one",
			"%s is for one source that is built", s.place("lock"))
	case s.LockTo != "" && !strings.HasSuffix(s.LockTo, plan.Suffix):
		return fault.New(fault.Usage, "call it NAME"+plan.Suffix,
			"%s %s: a lock is a plan, whose name ends in %s", s.place("lock"), s.LockTo,
			plan.Suffix)
	case s.PlanTo != "" && s.Provenance != "":
		return fault.New(fault.Usage, "leave it out", "%s is about what is built, and nothing is",
			s.place("provenance"))
	case s.PlanTo != "" && len(s.Sources) > 1:
		return fault.New(fault.Usage, "plan them one by one", "%s is for one source",
			s.place("plan"))
	case s.PlanTo != "" && !strings.HasSuffix(s.PlanTo, plan.Suffix):
		return fault.New(fault.Usage, "call it NAME"+plan.Suffix,
			"%s %s: the name of a plan ends in %s", s.place("plan"), s.PlanTo, plan.Suffix)
	case s.Chain && s.AtOnce > 1 && s.Said.said("jobs-at-once"):
		return fault.New(fault.Usage, "leave out one of them", "%s and %s=%d contradict each "+
			"other: a chain is built one after the other", s.place("chain"),
			s.place("jobs-at-once"), s.AtOnce)
	case s.ShellOnFailure && s.Said.now("shell-on-failure") && s.beside():
		return fault.New(fault.Usage, "add --jobs-at-once 1", "%s: %d builds beside each other "+
			"have one terminal", s.place("shell-on-failure"), min(s.AtOnce, s.count()))
	}
	if s.PlanTo != "" {
		if err := s.checkPlannable(); err != nil {
			return err
		}
	}
	for _, r := range s.Each() {
		if err := r.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// checkTimes refuses limits in time that are none.
func (r *Request) checkTimes() error {
	for flag, limit := range map[string]time.Duration{"timeout": r.Timeout, "silence": r.Silence} {
		if limit < 0 || limit > 0 && limit < time.Second {
			return fault.New(fault.Usage, "a time such as 90m, or 0 for no limit",
				"%s %v: at least a second is expected", r.place(flag), limit)
		}
	}
	return nil
}

// checkKeeping refuses bounds within which nothing can be kept.
func (r *Request) checkKeeping() error {
	l := r.KeepLimits
	switch {
	case r.Keep == KeepNever || r.Keep == "":
		return nil
	case r.Keep != KeepFailed && r.Keep != KeepAlways:
		return fault.New(fault.Usage, "failed, always or never", "%s %q is not known",
			r.place("keep"), r.Keep)
	case l.Count < 1:
		return fault.New(fault.Usage, "use --keep never to keep none",
			"%s %d: at least 1 is expected", r.place("keep-count"), l.Count)
	}
	return nil
}

func (r *Request) place(flag string) string { return r.Said.place(flag) }

// besidePlan are the flags that a plan leaves open: where things go, and what is shown.
func besidePlan() []string {
	return []string{"output", "log-dir", "nolog", "result", "junit", "report", "json", "scratch",
		"scratch-size", "plain-source", "strays", "no-layers", "jobs-at-once", "shell-on-failure",
		"sign", "keyid", "lock", "hook", "hookdir", "hook-network", "hook-timeout", "plan", "keep",
		"keep-count", "keep-size", "keep-age", "keep-logs", "timeout", "silence", "compare"}
}

// checkPlanned refuses what contradicts the plan that is to be built.
func (r *Request) checkPlanned() error {
	if !r.planned() {
		return nil
	}
	for _, flag := range slices.Sorted(maps.Keys(r.Said)) {
		if r.Said.now(flag) && !slices.Contains(besidePlan(), flag) {
			return fault.New(fault.Usage, "leave it out, or plan the build anew",
				"%s: the plan decides that", r.place(flag))
		}
	}
	return nil
}

// checkPlannable refuses what a plan cannot say.
func (r *Request) checkPlannable() error {
	for _, flag := range []string{"result", "junit", "report", "sign", "keyid", "shell-on-failure",
		"run-lintian", "run-autopkgtest", "run-piuparts", "check-install", "fail-on",
		"compare"} {
		if r.Said.now(flag) {
			return fault.New(fault.Usage, "leave it out", "%s contradicts %s: a plan is made, and "+
				"nothing is built", r.place(flag), r.place("plan"))
		}
	}
	switch {
	case r.Git != "":
		return fault.New(fault.Usage, "plan the source package that is made of it",
			"%s contradicts %s: what git exports is there only while it is built",
			r.place("plan"), r.place("git"))
	case len(r.Hooks.At(hook.BeforeLayer()...)) > 0:
		return fault.New(fault.Usage, "leave them out, or install what they need by --include",
			"%s runs no hooks, and those before the dependencies decide what is installed",
			r.place("plan"))
	}
	return nil
}

// checkContents looks at what is built.
func (r *Request) checkContents() error {
	own := r.versionFlag()
	switch {
	case r.Git != "" && r.Git != gitsrc.Head && r.Git != gitsrc.Index:
		return fault.New(fault.Usage, "use head or index", "%s=%s", r.place("git"),
			strings.ToLower(r.Git))
	case own != "" && r.ArchAll:
		return fault.New(fault.Usage, "leave out one of them", "%s and %s contradict each other: "+
			"a new version of the architecture-independent packages needs a new source",
			r.place("arch-all"), r.place(own))
	case own != "" && r.Source:
		return fault.New(fault.Usage, "build the source package by itself",
			"%s contradicts %s: the packages get a version that the source does not have",
			r.place("source"), r.place(own))
	case own != "" && r.SourceOnlyChanges:
		return fault.New(fault.Usage, "leave out one of them", "%s contradicts %s: the packages "+
			"get a version that the source does not have", r.place("source-only-changes"),
			r.place(own))
	case !r.ArchAll && !r.ArchAny && !r.Source:
		if own == "" {
			own = "no-arch-all"
		}
		return fault.New(fault.Usage, "leave out one of them, or add --source",
			"%s and %s leave nothing to build", r.place("no-arch-any"), r.place(own))
	}
	return nil
}

// checkTarget looks at what it is built for.
func (r *Request) checkTarget() error {
	for _, a := range [][2]string{{"arch", r.Arch}, {"host", r.Host}} {
		if a[1] != "" && !dsc.KnownArch(a[1]) {
			return fault.New(fault.Usage, "dpkg-architecture -L lists them",
				"%s %s: there is no such architecture", r.place(a[0]), a[1])
		}
	}
	if build, host := r.archs(); build != host &&
		!slices.Contains([]string{"", deps.ResolverApt, deps.ResolverNull}, r.Resolver) {
		return fault.New(fault.Usage, "leave out --build-dep-resolver", "%s and %s=%s "+
			"contradict each other: only apt knows which tools of a cross build run here",
			r.place("host"), r.place("build-dep-resolver"), r.Resolver)
	}
	for _, p := range r.Profiles {
		if !dsc.ValidProfile(p) {
			return fault.New(fault.Usage, "separate them by commas, without < > or !",
				"%s: %q is no build profile", r.place("profiles"), p)
		}
	}
	return nil
}

// mostJobs is more than any machine has processors.
const mostJobs = 1 << 16

// checkHow looks at how it is built.
func (r *Request) checkHow() error {
	switch {
	case !slices.Contains([]string{ScratchAuto, ScratchTmpfs, ScratchDisk, ScratchCopy}, r.Scratch):
		return fault.New(fault.Usage, "use auto, tmpfs, disk or copy", "%s %q", r.place("scratch"),
			r.Scratch)
	case r.Scratch == ScratchDisk && r.ScratchSize != 0:
		return fault.New(fault.Usage, "leave out one of them",
			"%s is for a tmpfs, and contradicts %s=disk", r.place("scratch-size"),
			r.place("scratch"))
	case !r.Strays.Known():
		return fault.New(fault.Usage, "kill, warn or fail", "%s %q is not known", r.place("strays"),
			r.Strays)
	case r.Jobs < 0 || r.Jobs > mostJobs:
		return fault.New(fault.Usage, fmt.Sprintf("give a number from 1 to %d, or leave it out",
			mostJobs), "%s %d is out of range", r.place("jobs"), r.Jobs)
	case r.Resolver != "" && !deps.KnownResolver(r.Resolver):
		return fault.New(fault.Usage, "use apt, aptitude, aspcud or null", "%s %q",
			r.place("build-dep-resolver"), r.Resolver)
	case !slices.Contains([]string{"", deps.ExplainerNone, deps.ExplainerApt, deps.ExplainerDose},
		r.Explainer):
		return fault.New(fault.Usage, "use apt, dose3 or none", "%s %q",
			r.place("bd-uninstallable-explainer"), r.Explainer)
	case !slices.Contains([]string{"", AnyAlternative, FirstAlternative}, r.Alternatives):
		return fault.New(fault.Usage, "use yes or no", "%s=%s", r.place("resolve-alternatives"),
			r.Alternatives)
	}
	for _, w := range r.Options {
		if !validBuildOption(w) {
			return fault.New(fault.Usage, "words are made of small letters, digits, _ and -, "+
				"some with =VALUE: nocheck parallel=4", "%s: %q", r.place("deb-build-options"), w)
		}
	}
	for _, name := range r.PlainSources {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "" {
			return fault.New(fault.Usage, "letters, digits and +-. as in debian/control",
				"%s %q is no name of a source package", r.place("plain-source"), name)
		}
	}
	return nil
}

// validBuildOption holds for a word of DEB_BUILD_OPTIONS (Policy 4.9.1).
func validBuildOption(w string) bool {
	name, _, _ := strings.Cut(w, "=")
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == "" &&
		name[0] >= 'a' && name[0] <= 'z'
}

func (r *Request) checkLimits() error { return CheckLimits(r.Limits, r.Said) }

// leastMemory is what a command needs to begin.
const leastMemory = 16 << 20

// CheckLimits refuses what no command could begin with.
func CheckLimits(l sandbox.Limits, said Said) error {
	switch {
	case l.Memory != 0 && l.Memory < leastMemory:
		return fault.New(fault.Usage, "16M or more", "%s %s: no command could begin",
			said.place("memory"), fault.Size(l.Memory))
	case math.IsNaN(l.CPUs) || l.CPUs < 0 || l.CPUs > 1<<16:
		return fault.New(fault.Usage, "a number of processors, as 2 or 0.5",
			"%s %v is out of range", said.place("cpus"), l.CPUs)
	case l.PIDs < 0 || l.PIDs > 1<<22:
		return fault.New(fault.Usage, "a number of processes", "%s %d is out of range",
			said.place("pids"), l.PIDs)
	}
	return nil
}

// checkPlaces looks at where it goes.
func (r *Request) checkPlaces() error {
	if r.KeepLogs < 0 {
		return fault.New(fault.Usage, "0 keeps all", "%s %d: it cannot be negative",
			r.place("keep-logs"), r.KeepLogs)
	}
	if r.NoLog && r.LogDir != "" {
		return fault.New(fault.Usage, "leave out one of them", "%s and %s contradict each other",
			r.place("nolog"), r.place("log-dir"))
	}
	return nil
}

// checkVersion looks at the version that the packages get, and at the changelog entry about it.
func (r *Request) checkVersion() error {
	for _, f := range [][2]string{{"make-binNMU", r.BinNMU},
		{"binNMU-changelog", r.BinNMUChangelog}, {"append-to-version", r.AppendToVersion}} {
		flag, text := f[0], f[1]
		if (text != "" || r.Said.said(flag)) && strings.TrimSpace(text) == "" {
			return fault.New(fault.Usage, "leave it out", "%s: the text is empty", r.place(flag))
		}
	}
	for _, f := range []struct {
		flag string
		set  bool
	}{{"make-binNMU", r.BinNMU != ""}, {"binNMU", r.BinNMUVersion != 0},
		{"binNMU-timestamp", r.BinNMUTimestamp != ""},
		{"append-to-version", r.AppendToVersion != ""}} {
		if f.set && r.BinNMUChangelog != "" {
			return fault.New(fault.Usage, "leave it out: the entry itself says it",
				"%s and %s contradict each other", r.place(f.flag), r.place("binNMU-changelog"))
		}
	}
	const forWhat = "say for what, with --make-binNMU TEXT"
	switch {
	case r.BinNMU == "" && (r.BinNMUVersion != 0 || r.Said.now("binNMU")):
		return fault.New(fault.Usage, forWhat, "%s without --make-binNMU", r.place("binNMU"))
	case r.BinNMU == "" && r.AppendToVersion == "" && r.BinNMUTimestamp != "":
		return fault.New(fault.Usage, forWhat, "%s without --make-binNMU",
			r.place("binNMU-timestamp"))
	case r.BinNMU != "" && r.BinNMUVersion < 1:
		return fault.New(fault.Usage, "give a number from 1 on", "%s %d: it is counted from 1",
			r.place("binNMU"), r.BinNMUVersion)
	}
	return r.checkEntry()
}

// checkEntry writes the version and the entry of some source.
func (r *Request) checkEntry() error {
	if !r.ownVersion() {
		return nil
	}
	some, err := dsc.ParseVersion("1")
	if err != nil {
		return err
	}
	if _, err := r.binaryVersion(some); err != nil {
		return err
	}
	_, host := r.archs()
	date, err := r.entryDate(time.Time{}, time.Time{})
	if err == nil {
		_, err = r.changelogEntry("source", some, "suite", host, date)
	}
	return err
}

// checkTools looks at what dpkg's tools are told.
func (r *Request) checkTools() error {
	for _, opt := range r.BuildOpts {
		name, _, _ := strings.Cut(opt, "=")
		short := opt[:min(2, len(opt))]
		instead, known := kindFlags[name]
		if !known && slices.Contains([]string{"-P", "-a", "-T", "-j", "-J"}, short) {
			instead, known = kindFlags[short]
		}
		if !known {
			continue
		}
		hint := "leave it out"
		if instead != "" {
			hint = "use " + instead
		}
		return fault.New(fault.Usage, hint,
			"%s %s contradicts what nsbuild itself tells dpkg-buildpackage", r.place("debbuildopt"),
			opt)
	}
	for _, person := range [][2]string{{"maintainer", r.Maintainer}, {"uploader", r.Uploader}} {
		if person[1] != "" && !validPerson(person[1]) {
			return fault.New(fault.Usage, "write it as: NAME <ADDRESS>",
				"%s %q is no name with an address", r.place(person[0]), person[1])
		}
	}
	return nil
}

// checkSign looks at who signs the results.
func (r *Request) checkSign() error {
	if r.KeyID != "" && !r.Sign && r.Said.now("keyid") && r.Said.now("sign") {
		return fault.New(fault.Usage, "leave out one of them", "%s and %s=false contradict each "+
			"other", r.place("keyid"), r.place("sign"))
	}
	return nil
}

// checkRelations looks at what is installed besides the source's own build dependencies.
func (r *Request) checkRelations() error {
	if _, err := r.relations(r.Said); err != nil {
		return err
	}
	_, err := preferences(r.Pins, r.place("pin"))
	return err
}

// checkChecks looks at what is done with the results.
func (r *Request) checkChecks() error {
	_, ours := checks.SplitPiuparts(r.PiupartsOpts)
	switch {
	case len(r.LintianOpts) > 0 && !r.Lintian:
		return fault.New(fault.Usage, "--run-lintian",
			"there are options for lintian, which is not to be run")
	case len(r.PiupartsOpts) > 0 && !r.Piuparts:
		return fault.New(fault.Usage, "--run-piuparts",
			"there are options for piuparts, which is not to be run")
	case len(ours) > 0:
		return fault.New(fault.Usage, "leave it out", "%s %s: piuparts gets its base, its "+
			"packages and its directories from nsbuild", r.place("piuparts-opt"), ours[0])
	case r.FailOn != "" && !r.any():
		return fault.New(fault.Usage,
			"--run-lintian, --run-autopkgtest, --run-piuparts or --check-install",
			"%s: no check is to be made", r.place("fail-on"))
	case !slices.Contains([]string{"", FailOnError, FailOnWarning}, r.FailOn):
		return fault.New(fault.Usage, "error or warning", "%s %q is not known", r.place("fail-on"),
			r.FailOn)
	}
	return nil
}
