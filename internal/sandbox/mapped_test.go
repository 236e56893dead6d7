package sandbox

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"nsbuild/internal/testenv"
)

// TestMappedRoot: a tree of the host's own ids, as root.
func TestMappedRoot(t *testing.T) {
	testenv.RequireRoot(t) // only root can map the ids of a host tree
	h := startHolder(t)
	dir := t.TempDir()
	for _, name := range []string{"etc", "usr", "tmp", "home/someone"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, links := testenv.Programs()
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Join(dir, "home/someone"), 1234, 1235); err != nil {
		t.Fatal(err)
	}
	users := t.TempDir()
	if err := os.Mkdir(filepath.Join(users, "home"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(users, "home"), 1500, 1500); err != nil {
		t.Fatal(err)
	}
	j, err := h.NewJail(context.Background(), Spec{
		Root: Root{Dir: dir, Map: MapAll},
		Mounts: append(programs(), Mount{Type: "rbind", Source: users, Target: "/srv", Mkdir: true,
			Map: MapUsers}),
	})
	if err != nil {
		t.Fatal(err)
	}
	out, st := sh(t, j, "stat -c %u:%g / /home/someone; touch /tmp/mine; touch /srv/home/root "+
		"2>/dev/null || echo refused")
	if out != "0:0\n1234:1235\nrefused\n" || !st.Success() {
		t.Errorf("%q %v", out, st)
	}
	if out, st := run(t, j, Command{Argv: []string{"/bin/touch", "/srv/home/user"}, UID: 1500,
		GID: 1500}); !st.Success() {
		t.Errorf("%q %v", out, st)
	}
	if _, err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for name, uid := range map[string]uint32{filepath.Join(dir, "tmp/mine"): 0,
		filepath.Join(users, "home/user"): 1500} {
		st, err := os.Stat(name)
		if err != nil {
			t.Error(err)
		} else if sys, ok := st.Sys().(*syscall.Stat_t); !ok || sys.Uid != uid {
			t.Errorf("%s belongs to %d, not %d", name, sys.Uid, uid)
		}
	}
	// Over a throwaway layer the tree stays as it is.
	j, err = h.NewJail(context.Background(),
		Spec{Root: Root{Lowers: []Lower{{Path: dir}}, Map: MapAll}, Mounts: programs()})
	if err != nil {
		t.Fatal(err)
	}
	if out, st := sh(t, j, "rm -r /home && touch /new && stat -c %u /new"); out != "0\n" ||
		!st.Success() {
		t.Errorf("%q %v", out, st)
	}
	if _, err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "home/someone")); err != nil {
		t.Error(err)
	}
}
