package fstab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

// forms are lines as they stand in the fstab files of chroots (schroot, dchroot, lxc, debootstrap's
// users) and of whole systems. Each says what a jail makes of it: a mount as shown writes it, with
// its notes after "!", or only notes, or nothing.
var forms = []struct{ line, want string }{
	// schroot's profiles, and what people add to them.
	{"/proc           /proc           none    rw,bind         0       0", "bind /proc:/proc"},
	{"/dev/pts\t/dev/pts\tnone\trw,bind\t\t0\t0", "bind /dev/pts:/dev/pts"},
	{"/home /home none rw,rbind 0 0", "rbind /home:/home"},
	{"/nix /nix none ro,bind 0 0", "bind /nix:/nix ro"},
	{"/run/user /run/user none rw,rbind,rslave 0 0",
		"rbind /run/user:/run/user ! rslave is left out"},
	{"/media /media none rw,rbind,rprivate  0 0", "rbind /media:/media"},
	{"/a /b none bind,shared 0 0", "bind /a:/b ! shared is left out"},
	{"/a /b none bind,unbindable", "bind /a:/b"},
	{"tmpfs /dev/shm tmpfs defaults 0 0", "tmpfs /dev/shm"},
	{"/dev/shm /dev/shm none rw,bind 0 0", "bind /dev/shm:/dev/shm"},
	{"/var/lib/dbus /var/lib/dbus none rw,bind 0 0", "bind /var/lib/dbus:/var/lib/dbus"},
	{"/tmp /tmp none rw,bind", "bind /tmp:/tmp"},
	{"none /build tmpfs uid=buildd,gid=buildd 0 0",
		"tmpfs /build ! left out: uid=buildd,gid=buildd"},
	{"/usr/share/fonts /usr/share/fonts none bind,nofail,x-gvfs-hide 0 0",
		"bind /usr/share/fonts:/usr/share/fonts nofail"},
	{"/srv/repo /srv/repo bind bind,ro 0 0", "bind /srv/repo:/srv/repo ro"},
	{"/srv/repo /srv/repo bind defaults 0 0", "bind /srv/repo:/srv/repo"},
	{"/srv/repo /srv/repo auto bind 0 0", "bind /srv/repo:/srv/repo"},
	{"/srv/repo /srv/repo ext4 bind,rw 0 0", "bind /srv/repo:/srv/repo"},

	// Options of mount(8) that change nothing here.
	{"/a /b none bind,noatime 0 0", "bind /a:/b"},
	{"/a /b none defaults,bind,noatime,nodiratime,lazytime 0 0", "bind /a:/b"},
	{"/a /b none bind,sync,dirsync,strictatime,iversion,mand,loud 0 0", "bind /a:/b"},
	{"/a /b none bind,async,norelatime,nolazytime,noiversion,nomand,silent,diratime,atime",
		"bind /a:/b"},
	{"tmpfs /tmp tmpfs defaults,noatime,mode=1777 0 0", "tmpfs /tmp mode=1777"},
	{"tmpfs /var/log tmpfs defaults,noatime,nosuid,mode=0755,size=100m 0 0",
		"tmpfs /var/log nosuid mode=0755,size=100m"},
	{"proc-debdev /proc proc none 0 0", "proc /proc"},
	{"/a /b none bind,_netdev,comment=x,x-systemd.requires-mounts-for=/data 0 0", "bind /a:/b"},
	{"/a /b none bind,x-systemd.requires=data.mount,X-mount.mkdir=755 0 0", "bind /a:/b mkdir"},
	{"/a /b none bind,x-mount.mkdir=0700 0 0", "bind /a:/b mkdir ! mode 0755, not 0700"},
	{"/a /b none bind,X-mount.owner=root 0 0", "bind /a:/b ! left out: X-mount.owner=root"},
	{"/a /b none bind,uhelper=udisks2,helper=x", "bind /a:/b"},
	{"/a /b none rw,,bind,", "bind /a:/b"},

	// What implies something else.
	{"/a /b none user,bind 0 0", "bind /a:/b nosuid,nodev,noexec"},
	{"/a /b none users,bind 0 0", "bind /a:/b nosuid,nodev,noexec"},
	{"/a /b none user,bind,exec,rw,noatime,nodiratime 0 0", "bind /a:/b nosuid,nodev"},
	{"/a /b none exec,user,bind", "bind /a:/b nosuid,nodev,noexec"},
	{"/a /b none owner,bind", "bind /a:/b nosuid,nodev"},
	{"/a /b none group,suid,bind", "bind /a:/b nodev"},
	{"/a /b none bind,nosymfollow", "bind /a:/b nosymfollow"},
	{"none /t tmpfs user,exec,suid,dev,x-mount.mkdir 0 0", "tmpfs /t mkdir ! device files"},
	{"/dev /srv none bind,dev", "bind /dev:/srv ! device files"},
	{"/home/u/.cache /home/u/app none user,bind,noauto,exec 0 0", ""},
	{"sk /home/u/kit tmpfs user,noauto,rw,noatime,size=5120k,uid=1000,gid=1000,inode64 0 0", ""},

	// Options of disks on a bind.
	{"/a /b none bind,errors=remount-ro,commit=30,discard 0 0",
		"bind /a:/b ! left out: errors=remount-ro,commit=30,discard"},
	{"/a /b none bind,mode=700", "bind /a:/b ! left out: mode=700"},
	{"/a /b none bind,acl,user_xattr,data=ordered",
		"bind /a:/b ! left out: acl,user_xattr,data=ordered"},
	{`/a /b none bind,context="system_u:object_r:tmp_t:s0:c127,c456",ro 0 0`,
		`bind /a:/b ro ! c127,c456"`},
	{"/a /b none bind,r0", "error"},

	// tmpfs.
	{"tmpfs /tmp tmpfs rw,nosuid,nodev,noexec,relatime,size=2G,mode=1777 0 0",
		"tmpfs /tmp nosuid,nodev,noexec size=2G,mode=1777"},
	{"tmpfs /tmp/stream tmpfs defaults,noatime,nosuid,nodev,noexec,mode=1777,size=10M 0",
		"tmpfs /tmp/stream nosuid,nodev,noexec mode=1777,size=10M"},
	{"tmpfs /dev/pts devpts noexec,nosuid,gid=tty,mode=0620 0 0",
		"devpts /dev/pts nosuid,noexec ! left out: gid=tty"},
	{"tmpfs /var/tmp/portage tmpfs size=16G,uid=portage,gid=portage,mode=775,noatime 0 0",
		"tmpfs /var/tmp/portage size=16G,mode=775 ! left out: uid=portage,gid=portage"},
	{"tmpfs /t tmpfs uid=10x", "error"},
	{"none /run tmpfs rw,nosuid,noexec,relatime,size=10%,mode=755 0 0",
		"tmpfs /run nosuid,noexec size=10%,mode=755"},
	{"tmpfs /t tmpfs nr_blocks=100,nr_inodes=1k 0 0", "tmpfs /t nr_blocks=100,nr_inodes=1k"},
	{"tmpfs /t tmpfs huge=within_size,size=1T", "tmpfs /t huge=within_size,size=1T"},
	{"tmpfs /t tmpfs rw,nosuid,nodev,size=507208k,nr_inodes=1951802,mode=755,inode64 0 0",
		"tmpfs /t nosuid,nodev size=507208k,nr_inodes=1951802,mode=755,inode64"},
	{"tmpfs /t tmpfs mpol=interleave,noswap", "tmpfs /t ! left out: mpol=interleave,noswap"},
	{"tmpfs /dev/shm tmpfs defaults,noexec,nodev,nosuid,seclabel 0 0",
		"tmpfs /dev/shm nosuid,nodev,noexec ! left out: seclabel"},
	{"ramfs /r ramfs mode=700", "tmpfs /r mode=700 ! a ramfs has no limit"},
	{"tmpfs /t tmpfs sise=1m", "error"},

	// The jail's own file systems.
	{"proc /proc proc", "proc /proc"},
	{"proc /proc proc defaults,hidepid=2 0 0", "proc /proc ! left out: hidepid=2"},
	{"proc /proc proc nosuid,nodev,noexec,hidepid=invisible,gid=proc 0 0",
		"proc /proc nosuid,nodev,noexec ! left out: hidepid=invisible,gid=proc"},
	{"proc /proc proc hidepid=2,gid=100,subset=pid",
		"proc /proc ! left out: hidepid=2,subset=pid,gid=100"},
	{"proc proc proc nodev,noexec,nosuid 0 0", "proc /proc nosuid,nodev,noexec"},
	{"sysfs sys sysfs defaults 0 0", "sysfs /sys"},
	{"sys /sys sysfs", "sysfs /sys"},
	{"devpts /dev/pts devpts rw,gid=5,mode=620 0 0", "devpts /dev/pts"},
	{"devpts /dev/pts devpts newinstance,ptmxmode=0666,nosuid,noexec,mode=0620,gid=5 0 0",
		"devpts /dev/pts nosuid,noexec"},
	{"devpts /dev/pts devpts gid=4,max=10", "devpts /dev/pts ! left out: max=10,gid=4"},
	{"udev /dev devtmpfs rw,nosuid,relatime,size=7807208k,nr_inodes=1951802,mode=755,inode64 0 0",
		"devtmpfs /dev nosuid ! left out: size=7807208k,nr_inodes=1951802,mode=755,inode64"},
	{"mqueue /dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime 0 0",
		"mqueue /dev/mqueue nosuid,nodev,noexec"},

	// lxc.
	{"/srv/x srv/x none bind,create=dir 0 0", "bind /srv/x:/srv/x mkdir"},
	{"/dev/fuse dev/fuse none bind,create=file,optional 0 0",
		"bind /dev/fuse:/dev/fuse mkdir nofail"},
	{"/a b none bind,relative,create=dir", "bind /a:/b mkdir"},
	{`/data\040space tmp/with\040space none bind,create=dir 0 0`,
		"bind /data space:/tmp/with space mkdir"},
	{"tmpfs dev tmpfs nosuid,mode=0755 0 0", "tmpfs /dev nosuid mode=0755"},

	// Overlays.
	{"overlay /usr overlay lowerdir=/usr,upperdir=/p/usr,workdir=/p/.work 0 0",
		"overlay /usr /usr;/p/usr;/p/.work"},
	{"overlay /etc overlay " +
		"lowerdir=/s/etc,upperdir=/s/u,workdir=/s/w,x-systemd.requires=/s,x-initrd.mount 0 0",
		"overlay /etc /s/etc;/s/u;/s/w"},
	{"overlay /etc overlay " +
		"noatime,lowerdir=/a,upperdir=/u,workdir=/w,index=off,metacopy=on,xino=auto,volatile",
		"overlay /etc /a;/u;/w ! left out: index=off,metacopy=on,xino=auto,volatile"},
	{`overlay /etc overlay lowerdir=/a\:b:/c 0 0`, "overlay /etc /a:b:/c;;"},
	{"overlay /srv/http overlay noauto,x-systemd.automount,lowerdir=/var/cache/mirror 0 0", ""},
	{"overlay / overlay lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work 0 0",
		"! on /: the jail has its root"},

	// A whole system's: what is its kernel's, its disks' or its network's.
	{"/dev/sda1 / ext4 errors=remount-ro 0 1", "! on /: the jail has its root"},
	{"UUID=0b6ee0ff-6f1f-4c57-b84f-3f6c9a2a0a35 / btrfs subvol=@,compress=zstd 0 0",
		"! on /: the jail has its root"},
	{"UUID=1 /home ext4 defaults,noatime,discard 0 2",
		"! /home is not mounted: a jail cannot mount ext4; mount it on the host and bind it"},
	{"LABEL=EFI /boot/efi vfat umask=0077,shortname=winnt 0 1", "! a jail cannot mount vfat"},
	{"/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0", ""},
	{"/dev/sr0 /media/cdrom0 udf,iso9660 ro 0 0", "! a jail cannot mount udf,iso9660"},
	{"/dev/sda5 none swap sw 0 0", "! swap is the host's"},
	{"/swapfile swap swap defaults,pri=5 0 0", "! swap is the host's"},
	{"host:/srv/nfs /mnt/nfs nfs4 rw,hard,_netdev 0 0", "! a jail cannot mount nfs4"},
	{"//server/share /mnt/share cifs credentials=/root/.c,vers=3.0 0 0",
		"! a jail cannot mount cifs"},
	{"v_tmp /vtmp 9p trans=virtio,version=9p2000.L,nofail 0 0", "! a jail cannot mount 9p"},
	{"sshfs#u@h:/d /mnt fuse user 0 0", "! a jail cannot mount fuse"},
	{"rpool/data /data zfs defaults,zfsutil", "! a jail cannot mount zfs"},
	{"/x.img /mnt auto loop 0 0", "! a jail cannot mount auto"},
	{"debugfs /sys/kernel/debug debugfs defaults 0 0", "! a jail has no debugfs"},
	{"cgroup /sys/fs/cgroup cgroup defaults 0 0", "! a jail has no cgroup"},
	{"none /proc/sys/fs/binfmt_misc binfmt_misc defaults 0 0", "! a jail has no binfmt_misc"},
	{"/dev/sdb1 /old ignore defaults 0 0", "! skipped, as its type says"},

	// The form of lines.
	{"  /a /b none bind 0 0   # the cache of apt", "bind /a:/b"},
	{"/a /b none bind 0 # the cache", "bind /a:/b"},
	{"/a /b none bind # the cache", "bind /a:/b"},
	{"/a /b none bind 0 0 and what follows", "bind /a:/b"},
	{"/a /b none bind 0 -1", "bind /a:/b"},
	{"/a /b none bind 0 0\r", "bind /a:/b"},
	{`/a\040b /c\134d\011e none bind`, "bind /a b:/c\\d\te"},
	{"/J\xf6rg /b none bind", "bind /J\xf6rg:/b"},
	{"# /a /b none bind", ""},
	{"/a /b none bind 0 x", "error"},
	{"/two words /b none bind 0 0", "error"},
	{"/a /b", "error"},
}

// shown writes a mount, for comparison.
func (m *Mount) shown() string {
	out := m.Type
	switch {
	case m.Type == "overlay":
		out += " " + m.Target + " " + strings.Join(m.Lowers, ":") + ";" + m.Upper + ";" + m.Work
	case m.Source != "":
		out += " " + m.Source + ":" + m.Target
	default:
		out += " " + m.Target
	}
	var flags []string
	for _, f := range []struct {
		on   bool
		name string
	}{{m.ReadOnly, "ro"}, {m.NoSuid, "nosuid"}, {m.NoDev, "nodev"}, {m.NoExec, "noexec"},
		{m.NoSymFollow, "nosymfollow"}} {
		if f.on {
			flags = append(flags, f.name)
		}
	}
	for _, part := range []string{strings.Join(flags, ","), m.Data} {
		if part != "" {
			out += " " + part
		}
	}
	if m.Mkdir {
		out += " mkdir"
	}
	if m.NoFail {
		out += " nofail"
	}
	return out
}

func TestForms(t *testing.T) {
	for _, c := range forms {
		table, err := Parse("f", strings.NewReader(c.line+"\n"))
		if c.want == "error" || err != nil {
			if c.want != "error" || err == nil {
				t.Errorf("%q: %v, want %s", c.line, err, c.want)
			}
			continue
		}
		want := strings.Split(c.want, "!")
		got := ""
		if len(table.Mounts) > 0 {
			got = table.Mounts[0].shown()
		}
		bad := got != strings.TrimSpace(want[0]) || len(table.Notes) != len(want)-1
		for i, note := range want[1:] {
			bad = bad || !strings.Contains(table.Notes[i], strings.TrimSpace(note)) ||
				!strings.HasPrefix(table.Notes[i], "f:1: ")
		}
		if bad {
			t.Errorf("%q:\n got %s, %q\nwant %s", c.line, got, table.Notes, c.want)
		}
	}
}

// TestFormsAsMount compares the fields with what findmnt(8) reads, which reads as mount(8) does.
func TestFormsAsMount(t *testing.T) {
	testenv.RequireTool(t, "findmnt")
	file := filepath.Join(t.TempDir(), "fstab")
	for _, c := range forms {
		if strings.Contains(c.line, "\r") || strings.Contains(c.line, "#") {
			continue // findmnt takes neither
		}
		if err := os.WriteFile(file, []byte(c.line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		// It escapes what is not printable, and keeps what it does not know.
		out, _ := exec.Command("findmnt", "-F", file, "-n", "-r", "-o",
			"SOURCE,TARGET,FSTYPE").CombinedOutput()
		fields, wrong := split(c.line)
		switch refused := strings.Contains(string(out), "parse error"); {
		case refused != (wrong != nil):
			t.Errorf("%q: findmnt says %s, we %v", c.line, out, wrong)
		case wrong == nil && !strings.ContainsAny(string(out), `\`):
			if want := fmt.Sprintf("%s %s %s", fields[0], fields[1], fields[2]); strings.TrimSpace(
				string(out)) != want && !strings.Contains(c.line, "=1 ") {
				t.Errorf("%q: findmnt says %q, we %q", c.line, out, want)
			}
		}
	}
}
