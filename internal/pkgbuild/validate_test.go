package pkgbuild

import (
	"math"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/fault"
	"nsbuild/internal/strays"
)

// valid is a request of which a test spoils something.
func valid() Request {
	return Request{What: What{From: "hello", ArchAny: true, ArchAll: true},
		How: How{Scratch: ScratchAuto, Strays: strays.Kill}}
}

// refusal is a request that is refused, and what is said then.
type refusal struct {
	name  string
	spoil func(*Several)
	says  string
	hint  string
}

// TestValidate spoils a request in each way that is refused.
func TestValidate(t *testing.T) {
	t.Setenv("DEBEMAIL", "")
	now := func(s *Several, flags ...string) {
		for _, f := range flags {
			s.Said[f] = Origin{Place: "--" + f, Now: true}
		}
	}
	binNMU := func(s *Several) {
		s.BinNMU, s.BinNMUVersion, s.ArchAll, s.Maintainer = "why", 1, false, "A <a@b.example>"
	}
	for _, c := range []refusal{
		{"nothing", func(s *Several) { s.ArchAny, s.ArchAll = false, false },
			"--no-arch-any and --no-arch-all leave nothing to build", "--source"},
		{"nothing of a version", func(s *Several) { binNMU(s); s.ArchAny = false },
			"--no-arch-any and --make-binNMU leave nothing to build", "--source"},
		{"git", func(s *Several) { s.Git = "ALL" }, "--git=all", "use head or index"},
		{"all of a version", func(s *Several) { binNMU(s); s.ArchAll = true },
			"--arch-all and --make-binNMU contradict each other", "leave out one"},
		{"source of a version", func(s *Several) { binNMU(s); s.Source = true },
			"--source contradicts --make-binNMU", "by itself"},
		{"source's .changes of a version",
			func(s *Several) { binNMU(s); s.SourceOnlyChanges = true },
			"--source-only-changes contradicts --make-binNMU", "leave out one"},

		{"architecture", func(s *Several) { s.Arch = "amd46" },
			"--arch amd46: there is no such architecture", "dpkg-architecture -L"},
		{"other architecture", func(s *Several) { s.Host = "any" },
			"--host any: there is no such architecture", "dpkg-architecture -L"},
		{"cross with aptitude",
			func(s *Several) { s.Arch, s.Host, s.Resolver = "amd64", "arm64", "aptitude" },
			"--host and --build-dep-resolver=aptitude contradict each other", "leave out"},
		{"profile", func(s *Several) { s.Profiles = []string{"!nocheck"} },
			`--profiles: "!nocheck" is no build profile`, "commas"},

		{"scratch", func(s *Several) { s.Scratch = "floppy" }, `--scratch "floppy"`,
			"use auto, tmpfs, disk or copy"},
		{"size of a disk", func(s *Several) { s.Scratch, s.ScratchSize = ScratchDisk, 1 },
			"--scratch-size is for a tmpfs, and contradicts --scratch=disk", "leave out one"},
		{"strays", func(s *Several) { s.Strays = "keep" }, `--strays "keep" is not known`,
			"kill, warn or fail"},
		{"jobs", func(s *Several) { s.Jobs = -1 }, "--jobs -1 is out of range", "a number"},
		{"many jobs", func(s *Several) { s.Jobs = 100000 }, "--jobs 100000 is out of range",
			"a number"},
		{"resolver", func(s *Several) { s.Resolver = "xapt" }, `--build-dep-resolver "xapt"`,
			"use apt, aptitude, aspcud or null"},
		{"alternatives", func(s *Several) { s.Alternatives = "some" },
			"--resolve-alternatives=some", "use yes or no"},
		{"option", func(s *Several) { s.Options = []string{"nocheck", "No!"} },
			`--deb-build-options: "No!"`, "small letters"},
		{"option without a name", func(s *Several) { s.Options = []string{"=4"} },
			`--deb-build-options: "=4"`, "small letters"},
		{"plain source", func(s *Several) { s.PlainSources = []string{"tar", "../x"} },
			`--plain-source "../x" is no name of a source package`, "debian/control"},
		{"plain source without a name", func(s *Several) { s.PlainSources = []string{""} },
			`--plain-source "" is no name of a source package`, "debian/control"},
		{"memory", func(s *Several) { s.Limits.Memory = 1 << 20 },
			"--memory 1 MiB: no command could begin", "16M or more"},
		{"processors", func(s *Several) { s.Limits.CPUs = -1 }, "--cpus -1 is out of range",
			"a number"},
		{"no number of processors", func(s *Several) { s.Limits.CPUs = math.NaN() },
			"--cpus NaN is out of range", "a number"},
		{"processes", func(s *Several) { s.Limits.PIDs = -3 }, "--pids -3 is out of range",
			"a number"},

		{"log", func(s *Several) { s.NoLog, s.LogDir = true, "/l" },
			"--nolog and --log-dir contradict each other", "leave out one"},

		{"empty change", func(s *Several) { now(s, "make-binNMU") },
			"--make-binNMU: the text is empty", "leave it out"},
		{"blank suffix", func(s *Several) { s.AppendToVersion, s.ArchAll = " ", false },
			"--append-to-version: the text is empty", "leave it out"},
		{"entry and change", func(s *Several) { binNMU(s); s.BinNMUChangelog = "x" },
			"--make-binNMU and --binNMU-changelog contradict each other", "the entry itself"},
		{"entry and number", func(s *Several) {
			s.ArchAll, s.BinNMUChangelog, s.BinNMUVersion = false, "x", 2
		}, "--binNMU and --binNMU-changelog contradict each other", "the entry itself"},
		{"entry and date", func(s *Several) {
			s.ArchAll, s.BinNMUChangelog, s.BinNMUTimestamp = false, "x", "1"
		}, "--binNMU-timestamp and --binNMU-changelog contradict each other", "the entry itself"},
		{"entry and suffix", func(s *Several) {
			s.ArchAll, s.BinNMUChangelog, s.AppendToVersion = false, "x", "~x"
		}, "--append-to-version and --binNMU-changelog contradict each other", "the entry itself"},
		{"number alone", func(s *Several) { s.BinNMUVersion = 2 }, "--binNMU without --make-binNMU",
			"say for what"},
		{"date alone", func(s *Several) { s.BinNMUTimestamp = "1" },
			"--binNMU-timestamp without --make-binNMU", "say for what"},
		{"number 0", func(s *Several) { binNMU(s); s.BinNMUVersion = 0 },
			"--binNMU 0: it is counted from 1", "from 1 on"},
		{"nobody", func(s *Several) { binNMU(s); s.Maintainer = "" },
			"--make-binNMU: nobody is named for the changelog entry", "give --maintainer"},
		{"no date", func(s *Several) { binNMU(s); s.BinNMUTimestamp = "tomorrow" },
			`--binNMU-timestamp "tomorrow" is no date`, "date -R"},
		{"no suffix", func(s *Several) { s.ArchAll, s.AppendToVersion = false, "a/b" },
			`version "1a/b"`, "a suffix is made of"},
		{"no entry", func(s *Several) { s.ArchAll, s.BinNMUChangelog = false, "hello" },
			"--binNMU-changelog:1: ", "a whole entry"},

		{"option of dpkg-buildpackage", func(s *Several) { s.BuildOpts = []string{"-us", "-B"} },
			"--debbuildopt -B contradicts what nsbuild itself tells", "use --no-arch-all"},
		{"its option with a value", func(s *Several) { s.BuildOpts = []string{"-Pnocheck"} },
			"--debbuildopt -Pnocheck contradicts", "use --profiles"},
		{"its option without another", func(s *Several) { s.BuildOpts = []string{"--target=x"} },
			"--debbuildopt --target=x contradicts", "leave it out"},
		{"maintainer", func(s *Several) { s.Maintainer = "nobody" },
			`--maintainer "nobody" is no name with an address`, "NAME <ADDRESS>"},
		{"uploader", func(s *Several) { s.Uploader = "A <b" },
			`--uploader "A <b" is no name with an address`, "NAME <ADDRESS>"},
		{"key and no signature", func(s *Several) { s.KeyID = "0x1"; now(s, "keyid", "sign") },
			"--keyid and --sign=false contradict each other", "leave out one"},

		{"relation", func(s *Several) { s.AddConflictsArch = []string{"a (1"} },
			`--add-conflicts-arch "a (1": `, "debian/control"},
		{"package", func(s *Several) { s.Include = []string{"A!"} }, `--include "A!": `,
			"debian/control"},
		{"pin", func(s *Several) { s.Pins = []string{"sid 500"} }, `--pin "sid 500": `,
			"apt_preferences(5)"},

		{"options of lintian", func(s *Several) { s.LintianOpts = []string{"-i"} },
			"options for lintian, which is not to be run", "--run-lintian"},
		{"options of piuparts", func(s *Several) { s.PiupartsOpts = []string{"-n"} },
			"options for piuparts, which is not to be run", "--run-piuparts"},
		{"our option of piuparts",
			func(s *Several) { s.Piuparts, s.PiupartsOpts = true, []string{"-d", "sid"} },
			"--piuparts-opt -d: piuparts gets", "leave it out"},
		{"failing of nothing", func(s *Several) { s.FailOn = FailOnError },
			"--fail-on: no check is to be made", "--run-lintian"},
		{"failing of something", func(s *Several) { s.Lintian, s.FailOn = true, "info" },
			`--fail-on "info" is not known`, "error or warning"},

		{"what a plan decides",
			func(s *Several) { s.Sources = []string{"a.dsc", "b.plan.json"}; now(s, "dist") },
			"--dist: the plan decides that", "plan the build anew"},
		{"plan of a plan",
			func(s *Several) { s.Sources, s.PlanTo = []string{"b.plan.json"}, "c.plan.json" },
			"--plan c.plan.json: what is to be planned is a plan", "copy it"},
		{"plan of two", func(s *Several) { s.Sources, s.PlanTo = []string{"a", "b"}, "c.plan.json" },
			"--plan is for one source", "one by one"},
		{"name of a plan", func(s *Several) { s.PlanTo = "c.json" },
			"--plan c.json: the name of a plan ends in .plan.json", "NAME.plan.json"},
		{"plan and git", func(s *Several) { s.PlanTo, s.Git = "c.plan.json", "HEAD" },
			"--plan contradicts --git", "source package"},
		{"plan and its result", func(s *Several) { s.PlanTo = "c.plan.json"; now(s, "result") },
			"--result contradicts --plan: a plan is made, and nothing is built", "leave it out"},
		{"plan and lintian", func(s *Several) { s.PlanTo = "c.plan.json"; now(s, "run-lintian") },
			"--run-lintian contradicts --plan", "leave it out"},
		{"chain", func(s *Several) { s.Chain, s.AtOnce = true, 2; now(s, "jobs-at-once") },
			"--chain and --jobs-at-once=2 contradict each other", "leave out one"},
		{"shell", func(s *Several) {
			s.Sources, s.AtOnce, s.ShellOnFailure = []string{"a", "b", "c"}, 2, true
			now(s, "shell-on-failure")
		}, "--shell-on-failure: 2 builds beside each other have one terminal", "--jobs-at-once 1"},
		{"base of two suites",
			func(s *Several) { s.Suites, s.Base = []string{"sid", "trixie"}, "mine" },
			"--dist names several, and --base one base for all", "leave out one"},
		{"plan of two architectures", func(s *Several) {
			s.Archs, s.PlanTo = []string{"amd64", "i386"}, "c.plan.json"
		}, "--arch names several, and --plan is for one", "once for each"},
		{"chain of two suites", func(s *Several) {
			s.Suites, s.Chain = []string{"sid", "trixie"}, true
		}, "--dist names several, and --chain is for one", "once for each"},
		{"no architecture of two", func(s *Several) {
			s.Archs, s.ArchAny = []string{"amd64", "i386"}, false
		}, "--arch names several: what does not depend", "one architecture"},
		{"second of two", func(s *Several) {
			s.Sources, s.Profiles = []string{"b.plan.json", "a"}, []string{"<x>"}
		}, `"<x>" is no build profile`, "commas"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Several{Request: valid(), Sources: []string{"hello"}, AtOnce: 1}
			s.Said = Said{}
			if err := s.Validate(); err != nil {
				t.Fatal(err)
			}
			c.spoil(&s)
			err := s.Validate()
			if err == nil || !strings.Contains(err.Error(), c.says) ||
				fault.KindOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), c.hint) {
				t.Errorf("%v (hint: %s), want %q (%q)", err, fault.HintOf(err), c.says, c.hint)
			}
		})
	}
}

// TestValidatePlaces: a refusal names where the value comes from, and what is configured is no
// contradiction to what is asked for this time.
func TestValidatePlaces(t *testing.T) {
	r := valid()
	r.Jobs, r.Said = -1, Said{"jobs": {Place: "config.toml:3: jobs"}}
	if err := r.Validate(); err == nil || err.Error() != "config.toml:3: jobs -1 is out of range" {
		t.Error(err)
	}
	r = valid()
	r.From, r.Said = "a.plan.json", Said{"dist": {Place: "config.toml:3: dist"},
		"output": {Place: "--output", Now: true}}
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
}

// TestWords: a number of processes by itself counts more than one among the words.
func TestWords(t *testing.T) {
	h := How{Options: []string{"parallel=7", "nocheck"}}
	if got := h.words(); !slices.Equal(got, []string{"parallel=7", "nocheck"}) {
		t.Errorf("%q", got)
	}
	h.Jobs = 2
	if got := h.words(); !slices.Equal(got, []string{"nocheck", "parallel=2"}) ||
		h.Options[0] != "parallel=7" {
		t.Errorf("%q of %q", got, h.Options)
	}
}
