package testenv

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRequired(t *testing.T) {
	for _, c := range []struct {
		list, condition string
		want            bool
	}{
		{"", "network", false},
		{"all", "network", true},
		{"all", "root", false},
		{"all,root", "root", true},
		{"userns, network", "network", true},
		{"userns", "network", false},
	} {
		if got := required(c.list, c.condition); got != c.want {
			t.Errorf("required(%q, %q) = %v", c.list, c.condition, got)
		}
	}
}

func TestHasRange(t *testing.T) {
	const file = "other:100000:65536\nme:165536:1000\n1000:200000:65536\n"
	if hasRange(file, "me", "1001") {
		t.Error("a range of 1000 ids is too small")
	}
	if !hasRange(file, "me", "1000") {
		t.Error("a range given by number was not found")
	}
}

// recorder stands in for a test whose failures are wanted.
type recorder struct {
	testing.TB
	cleanups []func()
	errors   []string
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any) {
	r.errors = append(r.errors, args[0].(error).Error())
}
func (r *recorder) Errorf(f string, a ...any) { r.errors = append(r.errors, f+" "+a[0].(string)) }

func TestHostStateFindsWhatIsLeft(t *testing.T) {
	r := &recorder{TB: t}
	hostState(r, 200*time.Millisecond) // for what does not go at all
	// An orphan: its parent, the shell, ends at once.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(os.TempDir(), "forgotten"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range r.cleanups {
		f()
	}
	all := strings.Join(r.errors, "\n")
	for _, want := range []string{strings.TrimSpace(string(out)) + " (sleep)", "forgotten"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q was not reported; reported was: %s", want, all)
		}
	}
	if err := exec.Command("sh", "-c", "kill "+strings.TrimSpace(string(out))).Run(); err != nil {
		t.Error(err)
	}
}

func TestHostStateIsContent(t *testing.T) {
	HostState(t)
	if err := exec.Command("true").Run(); err != nil {
		t.Fatal(err)
	}
}
