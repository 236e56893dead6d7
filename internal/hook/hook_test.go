package hook

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/fault"
)

// tree makes files; those whose name ends in "*" are executable.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		name, exec := strings.CutSuffix(name, "*")
		mode := os.FileMode(0o644)
		if exec {
			mode = 0o755
		}
		name, text, _ := strings.Cut(name, "=")
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(hooks []*Hook) string {
	var all []string
	for _, h := range hooks {
		all = append(all, h.Name)
	}
	return strings.Join(all, " ")
}

// TestHookDir takes from a hook directory what pbuilder takes, in its order.
func TestHookDir(t *testing.T) {
	dir := tree(t, "A20two*", "A10one*", "A10~*", "A30old.bak*", "A40plain", "Aten*", "A1x*",
		"B10b*", "I99*", "Z10z*", "common", "sub/A10x*")
	if err := os.Symlink("A10one", filepath.Join(dir, "A50link")); err != nil {
		t.Fatal(err)
	}
	s, err := Load(Options{HookDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(s.At(BeforeBuild)); got != "A10one A20two A50link" {
		t.Errorf("A: %s", got)
	}
	if got := names(s.At(AfterBuild, AfterCollect)); got != "B10b I99" {
		t.Errorf("B and I: %s", got)
	}
	want := []string{"skipping a backup file A10~", "skipping a backup file A30old.bak",
		"execute priv not set on file A40plain, not executing."}
	if !slices.Equal(s.Notes, want) {
		t.Errorf("notes %q, want %q", s.Notes, want)
	}
}

// TestNative loads directories of stages.
func TestNative(t *testing.T) {
	for _, c := range []struct {
		files []string
		want  string // of before-build
		says  string
	}{
		{[]string{"before-build.d/20-b*", "before-build.d/10-a*", "before-build.d/10-a~*",
			"after-build.d/x*", "lib/file", "README"},
			"N/before-build.d/10-a N/before-build.d/20-b", ""},
		{[]string{"before-build.d/10-a"}, "", "before-build.d/10-a is not executable"},
		{[]string{"befor-build.d/10-a*"}, "", `there is no stage "befor-build"`},
		{[]string{"host-start.d/10-a*"}, "", `there is no stage "host-start"`},
		{[]string{"README"}, "", "it holds no hook"},
		{[]string{"updated.d/10-a*", "before-run.d/10-a*"}, "",
			"no hook of a stage that this command comes by"},
		{[]string{"updated.d/10-a*", "before-build.d/10-a*"}, "N/before-build.d/10-a", ""},
		{[]string{"before-build.d/x*", "hook.conf=Network: yes\n"}, "", "it needs the network"},
		{[]string{"before-build.d/x*", "hook.conf=Nework: yes\n"}, "",
			`hook.conf: line 1: there is no field "Nework"`},
		{[]string{"before-build.d/x*", "hook.conf=Cache: maybe\n"}, "", `Cache is yes or no`},
	} {
		dir := tree(t, c.files...)
		s, err := Load(Options{Hooks: []string{dir}})
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) ||
				fault.KindOf(err) != fault.Usage {
				t.Errorf("%v: %v, want %q", c.files, err, c.says)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if got := strings.ReplaceAll(names(s.At(BeforeBuild)), filepath.Base(dir),
			"N"); got != c.want {
			t.Errorf("%v: %s, want %s", c.files, got, c.want)
		}
	}
}

// TestOperations has each verb come by its own stages, under pbuilder's names where the hooks are
// pbuilder's.
func TestOperations(t *testing.T) {
	native := tree(t, "created.d/1*", "updated.d/1*", "start.d/1*", "before-run.d/1*",
		"before-build.d/1*")
	old := tree(t, "A10a*", "E10e*", "F10f*", "G10g*", "H10h*")
	for _, c := range []struct {
		of             Operation
		native, old    string
		called, theirs string
	}{
		{Create, "created.d/1 updated.d/1", "G10g E10e", "create", "create"},
		{Update, "start.d/1 updated.d/1", "H10h E10e", "update", "update"},
		{Exec, "start.d/1 before-run.d/1", "H10h F10f", "run", "execute"},
		{Shell, "start.d/1 before-run.d/1", "H10h F10f", "shell", "login"},
		{Session, "start.d/1 before-run.d/1", "H10h F10f", "session", "login"},
	} {
		s, err := Load(Options{Operation: c.of, Hooks: []string{native}, HookDir: old})
		if err != nil {
			t.Fatal(err)
		}
		var ours, theirs []string
		for _, stage := range c.of.Stages() {
			for _, h := range s.At(stage) {
				context := Context{Operation: c.of}
				env := context.environment(h, false)
				if h.dir.pbuilder {
					theirs = append(theirs, h.Name)
					if !slices.Contains(env, "PBUILDER_OPERATION="+c.theirs) {
						t.Errorf("%s: pbuilder's hook finds %q", c.of, env)
					}
					continue
				}
				ours = append(ours, h.file)
				if !slices.Contains(env, "NSBUILD_OPERATION="+c.called) ||
					!slices.Contains(env, "NSBUILD_STAGE="+string(stage)) {
					t.Errorf("%s: the hook finds %q", c.of, env)
				}
			}
		}
		if got := strings.Join(ours, " "); got != c.native {
			t.Errorf("%s runs %s, want %s", c.of, got, c.native)
		}
		if got := strings.Join(theirs, " "); got != c.old {
			t.Errorf("%s runs pbuilder's %s, want %s", c.of, got, c.old)
		}
	}
}

// TestExpand replaces sbuild's escapes as sbuild does: the longest first, unknown ones and those
// without a value not at all.
func TestExpand(t *testing.T) {
	c := Context{BuildArch: "amd64", HostArch: "arm64", BuildDir: "/build", SourceDir: "/build/x-1",
		DSC: "/build/x.dsc", HostDSC: "x.dsc", HostChanges: "/out/x.changes", ChrootExec: "run --",
		ChrootDir: "/root", Source: "x", PkgVer: "x_1", HostLog: "/out/x_1_arm64-T.build"}
	for _, tt := range []struct{ in, jail, host string }{
		{"%a %b %p %d", "arm64 /build /build/x-1 /build/x.dsc", "arm64 /build /build/x-1 x.dsc"},
		{"%SBUILD_BUILD_ARCH %SBUILD_BUILD_DIR %SBUILD_HOST_ARCH %SBUILD_PKGBUILD_DIR %SBUILD_DSC",
			"amd64 /build arm64 /build/x-1 /build/x.dsc", "amd64 /build arm64 /build/x-1 x.dsc"},
		{"%c %SBUILD_CHANGES", "%c %SBUILD_CHANGES", "/out/x.changes /out/x.changes"},
		{"%e %r %SBUILD_CHROOT_EXEC %SBUILD_CHROOT_DIR",
			"%e %r %SBUILD_CHROOT_EXEC %SBUILD_CHROOT_DIR", "run -- /root run -- /root"},
		{"%%a 100%% %q %", "%a 100% %q %", "%a 100% %q %"},
		{"%SBUILD_LOG_PATH=%SBUILD_LOG_DIR/%SBUILD_LOG_BASENAME",
			"/out/x_1_arm64-T.build=/out/x_1_arm64-T.build",
			"/out/x_1_arm64-T.build=/out/x_1_arm64-T.build"},
		{"%SRCPACKAGE_VERSION %SRCPACKAGES", "x_1 xS", "x_1 xS"},
		{"%s", shellCommand, shellCommand},
		{"%SBUILD_SHELL", shellCommand, shellCommand},
	} {
		if got := c.expand(tt.in, false); got != tt.jail {
			t.Errorf("%q in the jail: %q, want %q", tt.in, got, tt.jail)
		}
		if got := c.expand(tt.in, true); got != tt.host {
			t.Errorf("%q on the host: %q, want %q", tt.in, got, tt.host)
		}
	}
}

// TestDigest changes with all that hooks consist of, and with nothing else.
func TestDigest(t *testing.T) {
	digest := func(command string, files ...string) string {
		t.Helper()
		o := Options{Commands: map[string][]string{}}
		if len(files) > 0 {
			o.HookDir = tree(t, files...)
		}
		if command != "" {
			o.Commands["chroot-setup-commands"] = []string{command}
		}
		s, err := Load(o)
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.Digest(Context{}, BeforeLayer()...)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if digest("") != "" || digest("", "A10x=1*") != "" {
		t.Error("hooks that change nothing below the dependencies have a digest")
	}
	seen := map[string]bool{}
	for _, d := range []string{digest("a"), digest("b"), digest("", "D10x=1*"),
		digest("", "D10x=2*"), digest("", "D10x=1*", "common=1"), digest("", "D10y=1*"),
		digest("a", "D10x=1*")} {
		if d == "" || seen[d] {
			t.Errorf("a digest is empty or not its own: %q", d)
		}
		seen[d] = true
	}
	if again := digest("a", "D10x=1*"); !seen[again] {
		t.Error("the same hooks have two digests")
	}
}

// TestDigestOfWhatHooksAreTold tells sources apart where hooks are told of them.
func TestDigestOfWhatHooksAreTold(t *testing.T) {
	first, second := Context{Source: "a", Version: "1"}, Context{Source: "b", Version: "1"}
	for _, c := range []struct {
		name    string
		options Options
		apart   bool
	}{
		{"native", Options{Hooks: []string{tree(t, "start.d/10-x=1*")}}, true},
		{"pbuilder's", Options{HookDir: tree(t, "H10x=1*")}, false},
		{"command", Options{Commands: map[string][]string{"chroot-setup-commands": {"x %b"}}},
			false},
	} {
		s, err := Load(c.options)
		if err != nil {
			t.Fatal(err)
		}
		var digests []string
		for _, told := range []Context{first, second} {
			d, err := s.Digest(told, BeforeLayer()...)
			if err != nil {
				t.Fatal(err)
			}
			digests = append(digests, d)
		}
		if apart := digests[0] != digests[1]; apart != c.apart {
			t.Errorf("%s hooks have digests of their own for each source: %t", c.name, apart)
		}
	}
}

// TestUnknown are the hooks whose work on the root nobody can know.
func TestUnknown(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		unknown bool
	}{
		{"before the dependencies", Options{Hooks: []string{tree(t, "start.d/10-x=1*")}}, false},
		{"with a cache",
			Options{Hooks: []string{tree(t, "start.d/10-x=1*", "hook.conf=Cache: yes")}}, true},
		{"later, with a cache",
			Options{Hooks: []string{tree(t, "before-build.d/10-x=1*", "hook.conf=Cache: yes")}},
			false},
		{"with the network", Options{HookDir: tree(t, "D10x=1*"), Network: true}, true},
		{"from the host",
			Options{Commands: map[string][]string{"pre-build-commands": {"x | %e y"}}}, true},
	} {
		s, err := Load(c.options)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Unknown(); got != c.unknown {
			t.Errorf("hooks %s are unknown: %t", c.name, got)
		}
	}
}

// TestFakerootsVariable: a hook finds it where fakeroot is installed, and LC_ALL stays what it was.
func TestFakerootsVariable(t *testing.T) {
	for _, installed := range []bool{true, false} {
		env := (&Context{Fakeroot: installed}).environment(&Hook{}, false)
		if slices.Contains(env, "FAKEROOTDONTTRYCHOWN=1") != installed ||
			!slices.Contains(env, "LC_ALL=C.UTF-8") {
			t.Errorf("%t: %q", installed, env)
		}
	}
}
