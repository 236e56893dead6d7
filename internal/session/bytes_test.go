package session

import (
	"os"
	"path/filepath"
	"testing"

	"nsbuild/internal/fstab"
)

// latin1 is a name that is not UTF-8, with what an escape could be taken for.
const latin1 = "J\xf6rg\\xf6"

// whatever prints what it was given, and what it finds.
const whatever = `printf '%s' "$V" >/srv/var; printf '%s' "$V"; printf '<%s>' "$(ls /srv)"; cat /srv/J*/*`

// anyBytes has a bind, a variable and an argument that are not UTF-8.
func anyBytes(t *testing.T, o *Options) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), latin1)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "caf\xe9"), []byte("text\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o.Mounts = append(o.Mounts,
		fstab.Mount{Type: "bind", Source: dir, Target: "/srv/" + latin1, ReadOnly: true,
			Mkdir: true})
}

// TestAnyBytes is about what file systems, arguments and variables carry and JSON does not.
func TestAnyBytes(t *testing.T) {
	o := tree(t)
	anyBytes(t, &o)
	o.Env = []string{"V=\xff\xfe"}
	want := "\xff\xfe<" + latin1 + "\nvar>text\n\xe4"
	out, st, err := output(t, o, whatever+"; printf '\xe4'")
	if err != nil || !st.Success() || out != want {
		t.Errorf("%q, %v, %v; want %q", out, st, err, want)
	}
	o.PID1 = true // by way of a session leader
	if out, st, err := output(t, o, whatever+"; printf '\xe4'"); err != nil || !st.Success() ||
		out != want {
		t.Errorf("as PID 1: %q, %v, %v; want %q", out, st, err, want)
	}
	o.PID1, o.Dir = false, "/srv/"+latin1
	if out, st, err := output(t, o, "pwd; /nonesuch\xe4 2>/dev/null || echo $?"); err != nil ||
		out != "/srv/"+latin1+"\n127\n" {
		t.Errorf("%q, %v, %v", out, st, err)
	}
}

func TestAnyBytesInSession(t *testing.T) {
	o := tree(t)
	anyBytes(t, &o)
	state := filepath.Join(t.TempDir(), latin1)
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	o.StateDir = state
	id, err := beginWith(t.Context(), o, "bytes")
	if err != nil {
		t.Fatal(err)
	}
	o.Env = []string{"V=\xff\xfe"}
	out, st, err := in(t, o, id, whatever)
	if want := "\xff\xfe<" + latin1 + "\nvar>text\n"; err != nil || !st.Success() || out != want {
		t.Errorf("%q, %v, %v; want %q", out, st, err, want)
	}
	if _, _, err := End(t.Context(), state, id); err != nil {
		t.Error(err)
	}
}
