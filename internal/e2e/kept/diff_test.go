package kept

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// TestDiff shows what a build has changed, in the source and elsewhere, and takes it out; what is
// hostile in it harms nobody.
func TestDiff(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := broken(t, w)
	for _, scratch := range []string{"disk", "copy"} {
		t.Run(scratch, func(t *testing.T) {
			one := id(t, w.Run(t, "build", "-q", "-d", "bookworm", "--scratch", scratch, dsc))
			w.Must(t, "enter", one, "--root", "--write", "--", "sh", "-ec", `
				echo x >> debian/rules; chmod 700 debian/control; ln -s /etc/passwd link
				mkfifo fifo; mkdir dir; echo deep > dir/file; ln -s / dir/up; mknod null c 1 3 || :
				rm -f null; printf '%s' evil > "$(printf 'a\033[31m\nb')"
				rm /etc/issue; chmod 600 /etc/debian_version; truncate -s 1T hole; echo end >> hole`)
			got := strings.Split(strings.TrimSpace(w.Must(t, "diff", one).Stdout), "\n")
			want := []string{"in /build/reproducible-path/broken-1.0:", `  A "a\x1b[31m\nb"`,
				"  M debian/control  (mode 0644 → 0700)", "  M debian/rules  (size 91 → 93)",
				"  D debian/source/", "  A dir/", "  A dir/file", "  A dir/up", "  A fifo", "  A hole",
				"  A link", "  A made", "elsewhere:", "  M /etc/debian_version  (mode 0644 → 0600)",
				"  D /etc/issue", "  A /tmp/left"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			e2e.WantIn(t, "the count", w.Must(t, "diff", "--stat").Stdout,
				`^in the unpacked source: 8 made, 2 changed, 1 deleted, \+1`,
				`^elsewhere: 1 made, 1 changed, 1 deleted, `)
			patch := w.Must(t, "diff", "--patch", one, "debian/rules", "dir").Stdout
			e2e.WantIn(t, "the patch", patch, `^--- a/debian/rules$`,
				`^\+\+\+ b/debian/rules$`, `^\+x$`, `^--- /dev/null$`, `^\+\+\+ b/dir/file$`, `^\+deep$`)
			var list struct {
				Changes []struct{ Path, Change string }
			}
			told := w.Must(t, "diff", "--json", one, "/etc").Stdout
			e2e.Check(t, json.Unmarshal([]byte(told), &list))
			if len(list.Changes) != 2 {
				t.Errorf("below /etc: %v", list)
			}

			to := t.TempDir()
			o := w.Must(t, "copy", one, "dir", "made", "/tmp/left", "hole", to)
			e2e.WantIn(t, "the warning", o.Stderr, "1 name is left out")
			for name, text := range map[string]string{"dir/file": "deep\n", "made": "made\n",
				"left": "hi\n"} {
				if got := e2e.Read(t, filepath.Join(to, name)); got != text {
					t.Errorf("%s: %q", name, got)
				}
			}
			if _, err := os.Lstat(filepath.Join(to, "dir", "up")); err == nil {
				t.Error("a link was taken out")
			}
			if st, err := os.Stat(filepath.Join(to, "hole")); err != nil || st.Size() < 1<<40 {
				t.Errorf("%v, %v", st, err)
			}
			for _, args := range [][]string{{"copy", one, "link", to}, {"copy", one, "fifo", to},
				{"copy", one, "dir/up/etc/passwd", to}, {"copy", one, "made", to},
				{"copy", one, "nothing", to}, {"copy", "nothing-0000", "made", to},
				{"copy", one, to}} {
				if o := w.Run(t, args...); o.Status == 0 {
					t.Errorf("%q: %s", args, o)
				}
			}
			w.Must(t, "forget", one)
		})
	}
}
