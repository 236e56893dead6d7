package sandbox

import (
	"context"
	"os"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

// examine tells, of a file of the layer below and of one just made, whether stat(2), mountinfo and
// /proc/locks agree on what they are, before and after they are written to.
const examine = `set -e
echo x >/srv/new
mount=$(grep '^[^ ]* [^ ]* [^ ]* [^ ]* / ' /proc/self/mountinfo | cut -d' ' -f3)
for f in /srv/old/file /srv/new; do
	dev=$(stat -c %d $f) ino=$(stat -c %i $f)
	[ $((dev / 256)):$((dev % 256)) = "$mount" ] || echo "$f is on $dev, its mount $mount"
	want=$(printf '%02x:%02x:%s' $((dev / 256)) $((dev % 256)) "$ino")
	flock $f grep -q " $want " /proc/locks || echo "$f is no $want in /proc/locks"
	[ "$(ls -i $f | sed 's/ .*//')" = "$ino" ] || echo "$f has another number in its directory"
	echo more >>$f
	[ "$dev $ino" = "$(stat -c '%d %i' $f)" ] || echo "$f is numbered anew"
done
echo examined`

// TestFilesHaveTheDeviceOfTheirMount looks at a root as lsof(8) and fuser(1) do: over layers of
// another file system than the scratch's, and in a plain copy of them.
func TestFilesHaveTheDeviceOfTheirMount(t *testing.T) {
	h := startHolder(t)
	root := testRoot(t, h)
	for name, plain := range map[string]bool{"overlay": false, "copy": true} {
		t.Run(name, func(t *testing.T) {
			lowers := []Lower{layerOf(t, h, root), {Path: root}}
			j, err := h.NewJail(context.Background(), Spec{
				Root: Root{Lowers: lowers, Plain: plain}, Mounts: programs(),
			})
			if err != nil {
				t.Fatal(err)
			}
			if !j.Plain() {
				if _, err := os.Stat("/sys/module/overlay/parameters/xino_auto"); err == nil ||
					plain {
					t.Fatal("files do not have the device of their mount")
				}
				testenv.Missing(t, "kernel", "this kernel cannot hide an overlay: no xino")
			}
			if out, st := sh(t, j, examine); out != "examined\n" || !st.Success() {
				t.Errorf("%q %v", out, st)
			}
			want := "kept in the layer\n"
			if plain {
				want += "tmpfs\n"
			} else {
				want += "overlayfs\n"
			}
			out, _ := sh(t, j,
				"cat /opt/kept; stat -f -c %T /opt; test ! -e /media || echo deleted")
			if out != want {
				t.Errorf("%q, want %q", out, want)
			}
			if out, st := sh(t, j, setuid); out != "read\n" || !st.Success() {
				t.Errorf("a setuid program: %q %v", out, st)
			}
			if _, err := j.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// setuid has another user read root's file with a setuid program, as passwd(1) does.
const setuid = `cp /usr/bin/cat /opt/cat; chmod 4755 /opt/cat
echo read >/opt/secret; chmod 600 /opt/secret
exec setpriv --reuid 33 --regid 33 --clear-groups /opt/cat /opt/secret`

// layerOf makes a layer over a root that adds a file and deletes a directory.
func layerOf(t *testing.T, h *Holder, root string) Lower {
	t.Helper()
	j, err := h.NewJail(context.Background(), Spec{Root: Root{Lowers: []Lower{{Path: root}}},
		Mounts: programs()})
	if err != nil {
		t.Fatal(err)
	}
	if out, st := sh(t, j, "echo kept in the layer >/opt/kept; rmdir /media"); !st.Success() {
		t.Fatal(out, st)
	}
	if _, err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return Lower{Jail: j.ID()}
}

// TestInodes32 leaves files the numbers of their layers, for programs with 32 bits for them.
func TestInodes32(t *testing.T) {
	ids, err := ResolveIDs()
	if err != nil {
		t.Fatal(err)
	}
	h, err := Start(context.Background(), HolderSpec{IDs: ids, Inodes32: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	j := hostJail(t, h)
	out, st := sh(t, j, "stat -c %i /srv/old/file")
	if len(strings.TrimSpace(out)) > len("4294967295") || !st.Success() {
		t.Errorf("inode number %q, %v", out, st)
	}
}
