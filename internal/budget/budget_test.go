package budget

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// tree writes files out and returns the directory that they lie in.
func tree(t *testing.T, files []txtar.File) string {
	t.Helper()
	root := t.TempDir()
	for _, f := range files {
		name := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestRecorded reads the files of machines and containers.
func TestRecorded(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	const groups = "sys/fs/cgroup/"
	for name, want := range map[string]Budget{
		"v2-container": {2, 824 * mib, gib, groups + "cpu.max", groups + "memory.max"},
		"v2-slices": {
			3, 4 * gib, 5 * gib,
			groups + "user.slice/user-1000.slice/cpu.max",
			groups + "user.slice/user-1000.slice/memory.high",
		},
		"v1-container": {
			1, 3584*mib + 1024, 4 * gib,
			groups + "cpu,cpuacct/cpu.cfs_quota_us", groups + "memory/memory.stat",
		},
		"hybrid":  {8, 512 * mib, 2 * gib, "", groups + "memory/service/memory.limit_in_bytes"},
		"outside": {8, 0, 3 * gib, "", groups + "memory.max"},
		"none":    {8, 3000000 << 10, 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			recorded, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
			if err != nil {
				t.Fatal(err)
			}
			root := tree(t, recorded.Files)
			got, err := read(root, 8)
			if err != nil {
				t.Fatal(err)
			}
			got.ProcessorsBy = strings.TrimPrefix(got.ProcessorsBy, root+"/")
			got.MemoryBy = strings.TrimPrefix(got.MemoryBy, root+"/")
			if got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// TestAffinity has fewer processors than the groups feed.
func TestAffinity(t *testing.T) {
	recorded, err := txtar.ParseFile("testdata/v2-slices.txtar")
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(tree(t, recorded.Files), 2)
	if err != nil || got.Processors != 2 || got.ProcessorsBy != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestUnreadable names what is no number.
func TestUnreadable(t *testing.T) {
	for file, text := range map[string]string{
		"proc/meminfo":                 "MemAvailable: many kB\n",
		"sys/fs/cgroup/memory.max":     "much\n",
		"sys/fs/cgroup/cpu.max":        "100000 0\n",
		"sys/fs/cgroup/memory.current": "-1\n",
		"sys/fs/cgroup/memory.stat":    "inactive_file x\n",
	} {
		recorded, err := txtar.ParseFile("testdata/v2-container.txtar")
		if err != nil {
			t.Fatal(err)
		}
		root := tree(t, append(recorded.Files, txtar.File{Name: file, Data: []byte(text)}))
		if _, err := read(root, 1); err == nil ||
			!strings.Contains(err.Error(), filepath.Base(file)) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestDivided is what follows from a budget.
func TestDivided(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		b            Budget
		beside       int
		jobs, builds int
	}{
		{Budget{Processors: 1, Memory: gib / 2}, 1, 1, 1},
		{Budget{Processors: 8, Memory: 3 * gib}, 1, 3, 1},
		{Budget{Processors: 8, Memory: 64 * gib}, 1, 8, 8},
		{Budget{Processors: 8, Memory: 64 * gib}, 3, 3, 8},
		{Budget{Processors: 8, Memory: 6 * gib}, 3, 2, 3},
		{Budget{Processors: 2}, 0, 1, 1},
	} {
		if jobs, builds := c.b.Jobs(c.beside), c.b.Builds(); jobs != c.jobs || builds != c.builds {
			t.Errorf("%+v beside %d: %d jobs, %d builds", c.b, c.beside, jobs, builds)
		}
	}
}

// TestReadHere asks this machine.
func TestReadHere(t *testing.T) {
	b, err := Read()
	if err != nil || b.Processors < 1 || b.Memory < 0 {
		t.Errorf("%+v, %v", b, err)
	}
}
