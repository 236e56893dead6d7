package session

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/fstab"
)

// withFstab has the options read a file of mounts.
func withFstab(t *testing.T, o *Options, text string) {
	t.Helper()
	o.Fstab = filepath.Join(t.TempDir(), "fstab")
	if err := os.WriteFile(o.Fstab, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOverlayLine(t *testing.T) {
	o := tree(t)
	dir := t.TempDir() // of mode 0755, but in one that only we may enter
	if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "up", "work"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a/one", "b/two"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lower := "lowerdir=" + dir + "/a:" + dir + "/b"
	withFstab(t, &o, "none /rw overlay "+lower+",upperdir="+dir+"/up,workdir="+dir+
		"/work 0 0\nnone /ro overlay "+lower+"\nnone /no overlay nofail,lowerdir=/nonesuch:/a\n")
	out, st, err := output(t, o, "cat /rw/* /ro/one; rm /rw/one; echo new >/rw/three; ls /rw; "+
		"touch /ro/x 2>/dev/null || echo read-only; test ! -e /no")
	if want := "a/one\nb/two\na/one\nthree\ntwo\nread-only\n"; err != nil || !st.Success() ||
		out != want {
		t.Errorf("%q, %v, %v; want %q", out, st, err, want)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "up", "three")); err != nil ||
		string(text) != "new\n" {
		t.Errorf("the upper directory has %q, %v", text, err)
	}
	withFstab(t, &o, "none /rw overlay lowerdir=/nonesuch:/a\n")
	if _, _, err := output(t, o, "true"); err == nil ||
		!strings.Contains(err.Error(), ":1: mounting on /rw: stat /nonesuch: no such file") {
		t.Errorf("a missing lower directory: %v", err)
	}
	if os.Geteuid() == 0 {
		return
	}
	// What the test may not delete itself.
	o.Overlay, o.Fstab, o.Mounts = true, "",
		append(o.Mounts, fstab.Mount{Type: "bind", Source: dir, Target: "/srv"})
	if out, st, err := output(t, o, "rm -rf /srv/up/* /srv/work/*"); err != nil || !st.Success() {
		t.Errorf("%q, %v, %v", out, st, err)
	}
}

func TestOwnLines(t *testing.T) {
	o := tree(t)
	withFstab(t, &o, "proc /proc proc ro 0 0\nsys /sys sysfs rw 0 0\ndevpts /dev/pts devpts "+
		"gid=5,mode=620 0 0\n/dev/pts /dev/pts none bind,rw 0 0\nshm /dev/shm tmpfs "+
		"size=64k,mode=1777\n")
	out, st, err := output(t, o, "grep -c '^proc /proc proc ro,' /proc/mounts; (echo x "+
		">/proc/sys/kernel/hostname) 2>/dev/null || echo read-only; ls /dev/pts; df -k "+
		"--output=size /dev/shm | tail -1; stat -c %a /dev/shm")
	if want := "1\nread-only\nptmx\n   64\n1777\n"; err != nil || !st.Success() ||
		strings.ReplaceAll(out, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("%q, %v, %v; want %q", out, st, err, want)
	}
}

func TestReadOnlySubmounts(t *testing.T) {
	o := tree(t)
	// /dev has file systems below it on every host.
	o.Mounts = append(o.Mounts, fstab.Mount{Type: "rbind", Source: "/dev", Target: "/srv",
		ReadOnly: true})
	out, st, err := output(t, o, "touch /srv/x 2>/dev/null || echo read-only; touch /srv/shm/x "+
		"2>/dev/null || echo read-only; grep ' /srv' /proc/mounts | grep -v ' ro,' || true")
	if want := "read-only\nread-only\n"; err != nil || !st.Success() || out != want {
		t.Errorf("%q, %v, %v; want %q", out, st, err, want)
	}
}

func TestMissingMountPoint(t *testing.T) {
	o := tree(t)
	o.Overlay, o.Force = false, true // the directory as it is
	if err := os.Symlink("nowhere", filepath.Join(o.Root, "dangling")); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"/etc /not/there none bind":                  "fstab:1: mounting on /not/there: opening a jail: open /not/there: no such file",
		"/etc /dangling/x none bind,x-mount.mkdir":   "making the mount point /dangling: it is a link to something that does not exist",
		"none /proc/../escape/x tmpfs x-mount.mkdir": "",
	} {
		withFstab(t, &o, line+"\n")
		_, st, err := output(t, o, "stat -c %u /x")
		if want == "" && (err != nil || !st.Success()) || want != "" &&
			(err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, %v; want %q", line, st, err, want)
		}
	}
	withFstab(t, &o, "/etc /made/here none bind,ro,x-mount.mkdir\n")
	out, st, err := output(t, o, "stat -c %u /made /dev")
	if err != nil || !st.Success() || out != "0\n0\n" {
		t.Errorf("%q, %v, %v", out, st, err)
	}
	if info, err := os.Stat(filepath.Join(o.Root, "made")); err != nil ||
		int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		t.Errorf("what was made is not ours: %v, %v", info, err)
	}
}

// TestFstabForms mounts what fstab files of chroots and systems say, or says why not.
func TestFstabForms(t *testing.T) {
	o := tree(t)
	notes := &bytes.Buffer{}
	log := logrus.New()
	log.SetOutput(notes)
	o.Log = log
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "a:b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a:b", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	withFstab(t, &o, strings.ReplaceAll(`
UUID=1 / ext4 defaults 0 1
UUID=2 /data ext4 defaults,noatime 0 2
/dev/sda5 none swap sw 0 0
proc proc proc nodev,noexec,nosuid,hidepid=2 0 0
sysfs sys sysfs defaults 0 0
tmpfs dev tmpfs nosuid,mode=0755 0 0
/dev/null dev/null none bind,create=file 0 0
devpts /var/dev/pts devpts gid=5 0 0
none /srv/t tmpfs user,exec,noatime,nr_blocks=4,inode64,mode=700 0 0 # small
none /srv/huge tmpfs huge=never,size=1m,nosymfollow
DIR /srv/d none rw,bind,noatime,nofail,rslave 0 0
DIR /srv/n none ro,bind,nosymfollow 0 0
debugfs /sys/kernel/debug debugfs
`, "DIR", dir))
	script := `echo x >/dev/null && stat -f -c %b /srv/t; stat -c %a /srv/t; grep -c ' /srv/t .*nosuid,nodev' /proc/mounts
test -d /srv/d/a:b && test -d /srv/d/link/ && echo bound; test -d /srv/n/link/ || echo no link; test -d /data || echo no data`
	out, st, err := output(t, o, script)
	if want := "4\n700\n1\nbound\nno link\nno data\n"; err != nil || !st.Success() || out != want {
		t.Errorf("%q, %v, %v; want %q", out, st, err, want)
	}
	for _, note := range []string{
		"fstab:2: UUID=1 is not mounted on /",
		"fstab:3: /data is not mounted: a jail cannot mount ext4",
		"fstab:4: /dev/sda5 is skipped: swap",
		"fstab:5: /proc: left out: hidepid=2",
		"/var/dev/pts is not mounted: a jail has its own devpts",
		"fstab:12: /srv/d: rslave is left out",
		"fstab:14: /sys/kernel/debug is not mounted: a jail has no debugfs",
	} {
		if !strings.Contains(notes.String(), note) {
			t.Errorf("there is no %q in\n%s", note, notes)
		}
	}
	if n := strings.Count(notes.String(), "level=warning"); n != 7 {
		t.Errorf("%d notes:\n%s", n, notes)
	}
}
