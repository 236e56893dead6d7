package apt

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestScript: dpkg gets the copies of those packages that have one, in their order, and everything
// else as apt said it.
func TestScript(t *testing.T) {
	dir := t.TempDir()
	archives, copies, links, bin := filepath.Join(dir, "archives"), filepath.Join(dir, "copies"),
		filepath.Join(dir, "links"), filepath.Join(dir, "bin")
	for _, d := range []string{archives, copies, links, bin} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put("apt-dpkg", script(archives, copies))
	put("bin/dpkg", "#!/bin/sh\nprintf '<%s>' \"$@\"\n")
	for _, name := range []string{"a-x_1%3a1_all.deb", "b_1_all.deb", "x_1_all.deb"} {
		put("archives/"+name, "")
	}
	put("copies/a-x_1%3a1_all.deb", "")
	put("copies/x_1_all.deb", "")
	for link, to := range map[string]string{
		"00-a-x_1%3a1_all.deb": filepath.Join(archives, "a-x_1%3a1_all.deb"),
		"01-b_1_all.deb":       filepath.Join(archives, "b_1_all.deb"),
		"7-x_1_all.deb":        filepath.Join(archives, "b_1_all.deb"), // of another's name
	} {
		if err := os.Symlink(to, filepath.Join(links, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"", "<>"}, // printf with no argument
		{"--configure|--pending|a b|*", "<--configure><--pending><a b><*>"},
		{"--unpack|D/archives/a-x_1%3a1_all.deb|D/archives/b_1_all.deb",
			"<--unpack><D/copies/a-x_1%3a1_all.deb><D/archives/b_1_all.deb>"},
		{"--status-fd|3|--unpack|--recursive|D/links",
			"<--status-fd><3><--unpack><D/copies/a-x_1%3a1_all.deb><D/links/01-b_1_all.deb><D/links/7-x_1_all.deb>"},
		{"--recursive", "<--recursive>"},
	} {
		var args []string
		if c.args != "" {
			args = strings.Split(strings.ReplaceAll(c.args, "D/", dir+"/"), "|")
		}
		cmd := exec.Command(filepath.Join(dir, "apt-dpkg"), args...)
		cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
		out, err := cmd.CombinedOutput()
		if want := strings.ReplaceAll(c.want, "D/", dir+"/"); err != nil || string(out) != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.args, err, out, want)
		}
	}
}
