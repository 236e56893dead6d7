package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"nsbuild/internal/testenv"
)

// TestDelegatedTop makes groups only where they were delegated: what systemd divides is left to it.
func TestDelegatedTop(t *testing.T) {
	top := t.TempDir()
	scope := filepath.Join(top,
		"user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope")
	service := filepath.Join(top, "system.slice/ci.service")
	for _, dir := range []string{filepath.Join(scope, "inner"),
		filepath.Join(service, "job/step")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	delegate := func(dir string) {
		err := unix.Setxattr(dir, "user.delegate", []byte("1"), 0)
		if errors.Is(err, unix.ENOTSUP) {
			testenv.Missing(t, "xattr", "the file system of the test has no attributes of users")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	manager := filepath.Join(top, "user.slice/user-1000.slice/user@1000.service")
	delegate(manager)
	delegate(service)
	booted := t.TempDir()
	for _, c := range []struct{ systemd, own, want string }{
		{booted, filepath.Join(service, "job/step"), service},
		{booted, service, service},
		{booted, filepath.Join(top, "system.slice"), ""},
		{booted, top, ""},
		{booted, scope, ""}, // systemd of the user divides what is in user@1000.service
		{filepath.Join(booted, "absent"), scope, top},
	} {
		if got := delegatedTop(c.systemd, top, c.own); got != c.want {
			t.Errorf("from %s: %q, want %q", c.own, got, c.want)
		}
	}
	delegate(scope)
	if got := delegatedTop(booted, top, filepath.Join(scope, "inner")); got != scope {
		t.Errorf("in a delegated scope of a user: %q", got)
	}
}

// TestGroupRestored enables controllers for a group, out of one that has processes, and finds it as
// it was afterwards, when the last of two is gone.
func TestGroupRestored(t *testing.T) {
	testenv.RequireControllers(t, "pids")
	top, _, _, err := hierarchy("/proc/self/mountinfo", "/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	parent, err := os.MkdirTemp(top, "test-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.Remove(parent); err != nil {
			t.Error(err)
		}
	}()
	if has, err := available(parent, []string{"pids"}); err != nil || len(has) == 0 {
		testenv.Missing(t, "cgroup", fmt.Sprintf("%s passes no controller on: %v", top, err))
	}
	var groups []*Group
	for range 2 {
		g, refusal, err := makeBelow(parent, []string{"pids"}, nil)
		if err != nil || refusal != "" {
			t.Fatal(refusal, err)
		}
		groups = append(groups, g)
	}
	for i, g := range groups {
		if passed, err := passedControllers(parent); err != nil || !contains(passed, "pids") {
			t.Errorf("before the end of %d: %q %v", i, passed, err)
		}
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	}
	if passed, err := passedControllers(parent); err != nil || len(passed) > 0 ||
		len(marked(parent)) > 0 {
		t.Errorf("left enabled: %q %v", passed, err)
	}
}
