package fstab

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	const text = `# a comment
proc     /proc  proc    defaults                  0  0
sys      /sys   sysfs   defaults                  0  0
/home    /home  none    bind,rw                   0  0
/var/run /var/run tmpfs rw,nosuid,noexec,mode=755 0  0

/etc/resolv.conf	/etc/resolv.conf none bind,ro 0 0
/srv/two\040words /mnt none rbind,nosuid,nodev,relatime,nofail,x-mount.mkdir,x-other=1
/later /later none bind,noauto
overlay /over overlay lowerdir=/a\040b:/c,upperdir=/u,workdir=/w,nosuid
overlay /seen overlay ro,lowerdir=/a:/c
`
	want := []Mount{
		{Line: 2, Type: "proc", Target: "/proc"},
		{Line: 3, Type: "sysfs", Target: "/sys"},
		{Line: 4, Type: "bind", Source: "/home", Target: "/home"},
		{Line: 5, Type: "tmpfs", Target: "/var/run", NoSuid: true, NoExec: true, Data: "mode=755"},
		{Line: 7, Type: "bind", Source: "/etc/resolv.conf", Target: "/etc/resolv.conf",
			ReadOnly: true},
		{Line: 8, Type: "rbind", Source: "/srv/two words", Target: "/mnt", NoSuid: true,
			NoDev: true, NoFail: true, Mkdir: true},
		{Line: 10, Type: "overlay", Target: "/over", NoSuid: true, Lowers: []string{"/a b", "/c"},
			Upper: "/u", Work: "/w"},
		{Line: 11, Type: "overlay", Target: "/seen", ReadOnly: true, Lowers: []string{"/a", "/c"}},
	}
	got, err := Parse("fstab", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Mounts); diff != "" || got.Notes != nil {
		t.Errorf("notes %q (-want +got):\n%s", got.Notes, diff)
	}
}

func TestBadLines(t *testing.T) {
	for line, field := range map[string]string{
		"proc":                                   "fs_file",
		"proc /proc":                             "fs_vfstype",
		"proc /proc proc defaults x":             "fs_freq",
		"proc /proc proc defaults 0 y":           "fs_passno",
		"/two words /mnt none bind 0 0":          "fs_freq",
		"/a /b/two words none bind":              "fs_freq",
		"home /home none bind":                   "fs_spec",
		"/home /home none rw":                    "fs_vfstype",
		"/home /home none bind,r0":               "fs_mntops",
		"/home /home none bind,frobnicate":       "fs_mntops",
		"/home /home none X-mount.subdir=a,bind": "fs_mntops",
		"none /tmp tmpfs sise=1m":                "fs_mntops",
		"none /tmp tmpfs huge=2M":                "fs_mntops",
		"none /tmp tmpfs nr_blocks=many":         "fs_mntops",
		"none /tmp tmpfs mode=9":                 "fs_mntops",
		"none /tmp tmpfs size=10mm":              "fs_mntops",
		`none /a\000b tmpfs rw`:                  "fs_file",
		"overlay /a overlay rw":                  "fs_mntops",
		"overlay /a overlay lowerdir=/a":         "fs_mntops",
		"overlay /a overlay lowerdir=/a:b":       "fs_mntops",

		"overlay /a overlay lowerdir=/a,upperdir=/b":                      "fs_mntops",
		"overlay /a overlay lowerdir=/a,upperdir=/b,workdir=/c,size=1m":   "fs_mntops",
		"overlay /a overlay lowerdir=/a,upperdir=/b,workdir=/c,bind":      "fs_mntops",
		"overlay /a tmpfs lowerdir=/a,upperdir=/b,workdir=/c":             "fs_mntops",
		"overlay /a overlay upperdir=/b,workdir=/c":                       "fs_mntops",
		"overlay /a overlay lowerdir=/a,upperdir=/b,workdir=relative/dir": "fs_mntops",
	} {
		_, err := Parse("file", strings.NewReader("# one\n"+line+"\n"))
		var e *Error
		if !errors.As(err, &e) || e.Line != 2 || e.Field != field || e.File != "file" {
			t.Errorf("%q: %v, want the field %s", line, err, field)
		}
	}
}

func TestCommandLine(t *testing.T) {
	if m, err := ParseBind("/a:/b:ro,nosuid", false); err != nil || m.Target != "/b" ||
		!m.ReadOnly || !m.NoSuid || m.Type != "rbind" {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := ParseBind("/a", true); err != nil || m.Target != "/a" || !m.ReadOnly {
		t.Errorf("%+v, %v", m, err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for text, target := range map[string]string{"a": here + "/a", "./a:/b": "/b",
		"a::ro": here + "/a"} {
		if m, err := ParseBind(text, false); err != nil || m.Source != here+"/a" ||
			m.Target != target {
			t.Errorf("%q: %+v, %v", text, m, err)
		}
	}
	if m, err := ParseTmpfs("/tmp:size=10m,mode=1777"); err != nil ||
		m.Data != "size=10m,mode=1777" {
		t.Errorf("%+v, %v", m, err)
	}
	for text, want := range map[string][2]string{
		`/a\:b:/c`:      {"/a:b", "/c"},
		`/a\:b`:         {"/a:b", "/a:b"},
		`/a:/c\:d\\:ro`: {"/a", `/c:d\`},
		`/a\b:/c\d`:     {`/a\b`, `/c\d`},
	} {
		if m, err := ParseBind(text, false); err != nil || m.Source != want[0] ||
			m.Target != want[1] {
			t.Errorf("%s: %+v, %v; want %q", text, m, err, want)
		}
	}
	if m, err := ParseTmpfs(`/t\:mp:size=1m`); err != nil || m.Target != "/t:mp" ||
		m.Data != "size=1m" {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{"", ":/b", "a:b", "/a:b", "/a:/b:size=1", "/a:/b:what",
		"/a:/b:dev", "/a:/b:context=x"} {
		if m, err := ParseBind(bad, false); err == nil {
			t.Errorf("%q: %+v", bad, m)
		}
	}
	for _, bad := range []string{"a", "/a:bind", "/a:size=x"} {
		if m, err := ParseTmpfs(bad); err == nil {
			t.Errorf("%q: %+v", bad, m)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("proc /proc proc defaults 0 0\n")
	f.Add(`/a\040b /c none bind,ro,x-mount.mkdir` + "\n")
	f.Add("none /tmp tmpfs mode=755,size=1g 0 0 0\n#")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := Parse("fuzz", strings.NewReader(text))
		if err != nil {
			return
		}
		for _, m := range table.Mounts {
			if !strings.HasPrefix(m.Target, "/") || strings.ContainsRune(m.Target, 0) {
				t.Errorf("target %q", m.Target)
			}
			if strings.HasSuffix(m.Type, "bind") != (m.Source != "") {
				t.Errorf("%+v", m)
			}
		}
	})
}

// TestRemount: a line with remount changes the last mount on its place.
func TestRemount(t *testing.T) {
	for _, c := range []struct{ lines, want, note string }{
		{"/a /b none bind 0 0\n/a /b none remount,bind,ro 0 0", "bind /a:/b ro", ""},
		{"/a /b none bind\nnone /b/ none bind,remount,ro,nosuid,nodev",
			"bind /a:/b ro,nosuid,nodev", ""},
		{"/a /b none bind,ro,nosuid\n/b /b none remount,rw,noatime", "bind /a:/b nosuid", ""},
		{"/c /b none rbind\n/a /b none bind\n/a /b none remount,ro", "bind /a:/b ro", ""},
		{"tmpfs /b tmpfs size=1m\ntmpfs /b tmpfs remount,size=2m,noexec",
			"tmpfs /b noexec size=1m,size=2m", ""},
		{"tmpfs /b tmpfs mode=700\ntmpfs /b tmpfs remount,nodev", "tmpfs /b nodev mode=700", ""},
		{"proc /proc proc defaults\nproc /proc proc remount,hidepid=2", "proc /proc",
			"left out: hidepid=2"},
		{"/a /b none bind\n/c /c none remount,bind,ro", "bind /a:/b",
			"f:2: /c is not mounted anew"},
		{"/a /b none bind\n/ / none remount,bind,ro", "bind /a:/b", "the jail has its root"},
		{"/a /b none bind\n/a /b none remount,ro,upperdir=/u", "bind /a:/b ro", ""},
		{"/a /b none bind\n/a /b none remount,or", "error", ""},
	} {
		table, err := Parse("f", strings.NewReader(c.lines+"\n"))
		if err != nil || c.want == "error" {
			if err == nil || c.want != "error" {
				t.Errorf("%q: %v, want %s", c.lines, err, c.want)
			}
			continue
		}
		got := table.Mounts[len(table.Mounts)-1].shown()
		if notes := strings.Join(table.Notes, "; "); got != c.want ||
			(c.note == "") != (notes == "") || !strings.Contains(notes, c.note) {
			t.Errorf("%q: %s, %q; want %s, %q", c.lines, got, notes, c.want, c.note)
		}
	}
}
