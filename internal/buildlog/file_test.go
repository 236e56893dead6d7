package buildlog

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/fault"
)

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	const name = "greet_1.0_amd64-2026-11-24T07:51:05Z.build"
	if err := os.Symlink(secret, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	// neither the link nor a log of the same second is replaced
	names := map[string]string{"one": strings.Replace(name, ":05Z", ":06Z", 1),
		"two": strings.Replace(name, ":05Z", ":07Z", 1)}
	for _, text := range []string{"one", "two"} {
		f, err := Create(dir, "greet", "1.0", "amd64", clock(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if f.Path != filepath.Join(dir, names[text]) ||
			f.Link != filepath.Join(dir, "greet_1.0_amd64.build") {
			t.Errorf("%s, %s", f.Path, f.Link)
		}
		write(f.Log, text)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{f.Path, f.Link} {
			if got, err := os.ReadFile(path); err != nil || string(got) != text+"\n" {
				t.Errorf("%s: %q, %v", path, got, err)
			}
		}
		if to, err := os.Readlink(f.Link); err != nil || to != names[text] {
			t.Errorf("the link leads to %s, %v", to, err)
		}
	}
	if got, err := os.ReadFile(secret); err != nil || string(got) != "secret" {
		t.Errorf("what a symbolic link led to is now %q, %v", got, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestCreateErrors(t *testing.T) {
	if _, err := Create(filepath.Join(t.TempDir(), "none"), "a", "1", "amd64", clock(),
		Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Create(t.TempDir(), "../a", "1", "amd64", clock(), Options{}); err == nil ||
		!strings.Contains(err.Error(), "is no file name") {
		t.Error(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, LinkName("a", "1", "amd64")), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, "a", "1", "amd64", clock(), Options{}); err == nil ||
		!strings.Contains(err.Error(), "linking the build log") {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestEarlier: the logs of the same are found, and no others.
func TestEarlier(t *testing.T) {
	dir := t.TempDir()
	at := clock()
	create := func(pkg, version, dist string, age time.Duration) *File {
		t.Helper()
		f, err := Create(dir, pkg, version, "amd64", at.Add(-age), Options{})
		if err != nil {
			t.Fatal(err)
		}
		f.Header(Header{Package: pkg, Version: version, Distribution: dist, Start: at})
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return f
	}
	one := create("greet", "1.0", "sid", 3*time.Hour)
	two := create("greet", "1.0", "sid", 2*time.Hour)
	create("greet", "1.0", "trixie", 2*time.Hour)
	create("greet", "1.0+b1", "sid", 2*time.Hour)
	create("greet-doc", "1.0", "sid", 2*time.Hour)
	f := create("greet", "1.0", "sid", time.Hour)
	create("greet", "1.0", "sid", 0) // a later one
	for _, name := range []string{"greet_1.0_amd64-mine.build",
		"greet_1.0_amd64-2026-01-01T00:00:00Z.build"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("notes\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(one.Path, filepath.Join(dir,
		"greet_1.0_amd64-2026-01-02T00:00:00Z.build")); err != nil {
		t.Fatal(err)
	}
	got, err := f.Earlier("sid")
	if want := []string{two.Path, one.Path}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestNames(t *testing.T) {
	if got := FileName("a", "", "arm64", clock()); got != "a_arm64-2026-11-24T07:51:05Z.build" {
		t.Error(got)
	}
	if got := LinkName("a", "", "arm64"); got != "a_arm64.build" {
		t.Error(got)
	}
}

func TestStatusOf(t *testing.T) {
	for stage, want := range map[string]Status{
		StageBuild: Attempted, StageArchCheck: Attempted, StageFetchSrc: GivenBack,
		StageInstallDeps: GivenBack, StageUnpack: GivenBack, StageUnpackedVersion: GivenBack,
		StageCheckSpace: GivenBack,
		StageHackBinNMU: GivenBack, StageAptUpdate: GivenBack, StageAptDistUpgrade: Failed,
		StageCreateSession: Failed, StagePostBuild: Failed, "run-pre-build-commands": Failed,
	} {
		if got := StatusOf(stage); got != want {
			t.Errorf("%s: %s, want %s", stage, got, want)
		}
	}
	for _, tt := range []struct {
		err  error
		want Status
		kind fault.Kind
		bad  bool
	}{
		{nil, Successful, fault.Internal, false},
		{errors.New("x"), Failed, fault.Internal, true},
		{fault.New(fault.Attempted, "", "x"), Attempted, fault.Attempted, true},
		{fault.New(fault.GivenBack, "", "x"), GivenBack, fault.GivenBack, true},
		{fault.New(fault.Interrupted, "", "x"), Failed, fault.Internal, true},
	} {
		got := StatusOfError(tt.err)
		kind, bad := got.Kind()
		if got != tt.want || kind != tt.kind || bad != tt.bad {
			t.Errorf("%v: %s, %v, %v", tt.err, got, kind, bad)
		}
	}
	if _, bad := Skipped.Kind(); bad {
		t.Error("skipped is an error")
	}
}

func TestBuildType(t *testing.T) {
	for _, tt := range []struct {
		source, archAny, archAll bool
		want                     string
	}{
		{true, true, true, "full"}, {true, true, false, "source,any"},
		{true, false, true, "source,all"}, {true, false, false, "source"},
		{false, true, true, "binary"}, {false, true, false, "any"}, {false, false, true, "all"},
		{false, false, false, ""},
	} {
		if got := BuildType(tt.source, tt.archAny, tt.archAll); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}
