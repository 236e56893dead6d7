package schroot

import (
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/fault"
	"nsbuild/internal/session"
)

// here are two bases, one under the name of an alias of the other, and a session.
func here() []Chroot {
	return Known([]Base{{"sid", "amd64", "sid"}, {"sid-amd64", "amd64", "unstable"}},
		[]session.Info{{ID: "one", Base: "sid", Path: "/run/one"}})
}

func TestChoose(t *testing.T) {
	for _, c := range []struct{ args, want, says string }{
		{"-l", "chroot:sid chroot:sid-amd64-sbuild chroot:sid-amd64 chroot:sid-amd64-amd64 " +
			"chroot:sid-amd64-amd64-sbuild source:sid source:sid-amd64-sbuild source:sid-amd64 " +
			"source:sid-amd64-amd64 source:sid-amd64-amd64-sbuild", ""},
		{"-l --exclude-aliases", "chroot:sid chroot:sid-amd64 source:sid source:sid-amd64", ""},
		{"-l --all-sessions", "session:one", ""},
		{"-l --all-source-chroots --exclude-aliases", "source:sid source:sid-amd64", ""},
		{"-i", "chroot:sid chroot:sid-amd64 source:sid source:sid-amd64", ""},
		{"-i -c sid-amd64", "chroot:sid-amd64", ""},
		{"--info --chroot session:one", "session:one", ""},
		{"-e -a", "session:one", ""},
		{"-r -c one -- true", "session:one", ""},
		{"-r -c chroot:sid -- true", "", "chroot:sid: Chroot not found"},
		{"-c one -- true", "", "one: Chroot not found"},
		{"-- true", "", "default: Chroot not found"},
		{"-c source:sid --begin", "source:sid", ""},
		{"-b -e", "", "Only one action may be specified"},
		{"--nonsense", "", "unknown flag: --nonsense"},
	} {
		call, err := Parse(strings.Fields(c.args))
		var chosen []Chroot
		if err == nil {
			chosen, err = call.Choose(here())
		}
		var got []string
		for _, c := range chosen {
			got = append(got, c.String())
		}
		if strings.Join(got, " ") != c.want || (err == nil) != (c.says == "") ||
			err != nil && (err.Error() != c.says || fault.HintOf(err) == "") {
			t.Errorf("schroot %s: %q, %v; want %s, %s", c.args, got, err, c.want, c.says)
		}
	}
}

func TestDescribe(t *testing.T) {
	all := here()
	sid, one := all[0], all[len(all)-1]
	for _, c := range []struct {
		action string
		chosen []Chroot
		want   string
	}{
		{Location, []Chroot{sid, one}, "\n/run/one\n"},
		{Config, []Chroot{sid}, "[sid]\naliases=sid-amd64,sid-amd64-sbuild\ndescription=sid\n" +
			"root-groups=\nroot-users=me\nsource-clone=true\ntype=custom\nusers=me\n\n"},
		{Config, []Chroot{one}, "[one]\naliases=\ndescription=session of sid\n" +
			"root-groups=\nroot-users=me\nsource-clone=true\ntype=custom\nusers=me\n\n"},
		{List, []Chroot{sid, one}, "chroot:sid\nsession:one\n"},
	} {
		if got := Describe(c.action, c.chosen, "me"); got != c.want {
			t.Errorf("--%s: %q, want %q", c.action, got, c.want)
		}
	}
	if got := Describe(Info, []Chroot{sid, one}, ""); !strings.Contains(got,
		"\n  Aliases                sid-amd64 sid-amd64-sbuild\n") ||
		!strings.Contains(got, "\n\n  ─── Session ───\n  Name                   one\n") {
		t.Error(got)
	}
}

func TestCommandIn(t *testing.T) {
	call, err := Parse([]string{"-p", "-u", "root", "-d", "/usr", "-c", "sid", "--", "echo", "a b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		chroot Chroot
		env    []string
	}{
		{here()[0], []string{"SCHROOT_CHROOT_NAME=sid", "SCHROOT_SESSION_ID=sid"}},
		{here()[1], []string{"SCHROOT_CHROOT_NAME=sid", "SCHROOT_ALIAS_NAME=sid-amd64-sbuild"}},
		{here()[len(here())-1], []string{"SCHROOT_CHROOT_NAME=sid", "SCHROOT_SESSION_ID=one"}},
	} {
		environ := []string{"A=1", "HOSTALIASES=x", "LD_PRELOAD=y"}
		o, err := call.CommandIn(c.chroot, environ)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(o.Argv, []string{"echo", "a b"}) || o.User != "root" || o.Dir != "/usr" {
			t.Errorf("%+v", o)
		}
		for _, want := range append(c.env, "A=1", "SCHROOT_COMMAND=echo a b", "SCHROOT_USER=root") {
			if !slices.Contains(o.Env, want) {
				t.Errorf("%s: %q lacks %s", c.chroot, o.Env, want)
			}
		}
		if len(o.Env) != 8 {
			t.Errorf("%q", o.Env)
		}
	}
}
