package builds

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// keyring is a home of gpg's for a test, without a key.
func keyring(t *testing.T) string {
	t.Helper()
	testenv.RequireTool(t, "gpg", "debsign")
	home, err := os.MkdirTemp("/tmp", "nsb-gpg-") // the agent's socket wants a short path
	e2e.Check(t, err)
	t.Cleanup(func() {
		// it may not have begun
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		e2e.Check(t, os.RemoveAll(home))
	})
	return home
}

// makeKey adds a key to the world's home of gpg's.
func makeKey(t *testing.T, w *e2e.World, name string, more ...string) {
	t.Helper()
	key := exec.Command("gpg", append(append([]string{"--quiet", "--batch", "--passphrase", ""},
		more...), "--quick-gen-key", name, "ed25519", "sign", "1y")...)
	key.Env = w.Environment()
	if out, err := key.CombinedOutput(); err != nil {
		t.Fatalf("gpg: %v\n%s", err, out)
	}
}

// TestNoKey has results be signed by whom gpg has no key of: that is said before a base is made.
func TestNoKey(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.NewWorld(t)
	home := t.TempDir()
	w.Env = []string{"GNUPGHOME=" + keyring(t), "HOME=" + home, "LC_ALL=C.UTF-8"}
	w.WriteTree(t, "tree-1.0") // by A <a@b.example>
	config := func(text string) {
		e2e.Check(t, os.WriteFile(filepath.Join(home, ".devscripts"), []byte(text), 0o600))
	}
	refused := func(says string, args ...string) {
		t.Helper()
		o := w.Run(t, append(append([]string{"build", "-d", "bookworm"}, args...), "tree-1.0")...)
		e2e.Refusal{Status: 64, Says: []string{"the results cannot be signed", says},
			Hint: "gpg --list-secret-keys"}.Check(t, o)
	}
	const none = `: gpg: error reading key: No secret key`
	refused(`as "A <a@b.example>"`+none, "--sign")
	refused(`as "C <c@b.example>"`+none, "--sign", "-m", "C <c@b.example>")
	refused(`as "nobody@b.example"`+none, "-k", "nobody@b.example")
	refused("debsign refuses 0x12345678, a short key ID", "-k", "0x12345678")
	config("DEBSIGN_KEYID=other@b.example\n")
	refused(`as "other@b.example"`+none, "--sign")
	makeKey(t, w, "old@b.example", "--faked-system-time", "20200101T000000")
	refused(`as "old@b.example": gpg: the key has expired`, "-k", "old@b.example")
	config("if\n")
	o := w.Run(t, "build", "-d", "bookworm", "--sign", "tree-1.0")
	e2e.Refusal{Status: 64, Says: []string{"the configuration of debsign: "},
		Hint: "~/.devscripts"}.Check(t, o)
	w.NothingLeft(t)
}

// TestSignedLast: what has failed is not signed, be it in a check or in a hook at the very end;
// what has not is signed before hooks on the host get it.
func TestSignedLast(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	w.Env = []string{"GNUPGHOME=" + keyring(t), "HOME=" + t.TempDir()}
	makeKey(t, w, "A B <a@b.example>")
	source := e2e.Small("signed")
	source.Rules = "#!/usr/bin/make -f\nclean build:\nbinary:\n\tmkdir -p debian/made/DEBIAN\n" +
		"\tprintf '#!/bin/sh\\nexit 1\\n' >debian/made/DEBIAN/preinst\n" +
		"\tchmod 755 debian/made/DEBIAN/preinst\n\tdpkg-gencontrol -psigned -Pdebian/made\n" +
		"\tdpkg-deb --root-owner-group --build debian/made ..\n"
	dsc := w.WriteSource(t, source)
	changes := filepath.Join(w.Dir, "signed_1.0_amd64.changes")
	isSigned := func() bool {
		return strings.Contains(e2e.Read(t, changes), "BEGIN PGP SIGNED MESSAGE")
	}
	build := func(args ...string) e2e.Outcome {
		return w.Run(t, append([]string{"build", "-q", "-d", "bookworm", "-k", "a@b.example",
			"--result=r.json", dsc}, args...)...)
	}
	for _, args := range [][]string{{"--check-install", "--fail-on=error"},
		{"--chroot-cleanup-commands=exit 1"}} {
		if o := build(args...); o.Status != 1 || isSigned() {
			t.Errorf("%q: signed: %t, %s", args, isSigned(), o)
		}
	}
	o := build("--check-install", "--post-build-commands=grep -c BEGIN.PGP.SIGNED %c >seen")
	if o.Status != 0 || !isSigned() {
		t.Errorf("signed: %t, %s", isSigned(), o)
	}
	sameFiles(t, filepath.Join(w.Dir, "r.json"))
	if text := e2e.Read(t, filepath.Join(w.Dir, "seen")); text != "1\n" {
		t.Errorf("the hook on the host saw %q signatures", text)
	}
	// debsign that stops half-way leaves the results whole.
	e2e.Check(t, os.Mkdir(filepath.Join(w.Dir, "bin"), 0o755))
	w.Script(t, "bin/debsign", "for f in *.buildinfo *.changes; do echo spoilt >$f; done; exit 1")
	w.Env = append(w.Env, "PATH="+filepath.Join(w.Dir, "bin")+":"+os.Getenv("PATH"))
	before := e2e.Read(t, changes)
	o = build()
	e2e.Refusal{Status: 1, Says: []string{"debsign signed_1.0_amd64.changes"},
		Hint: "unsigned: debsign "}.Check(t, o)
	if after := e2e.Read(t, changes); strings.Contains(after, "spoilt") || after == before {
		t.Errorf("what debsign left:\n%s", after)
	}
	if slices.ContainsFunc(w.Files(t), func(name string) bool {
		return strings.HasPrefix(name, ".nsbuild-")
	}) {
		t.Errorf("left: %q", w.Files(t))
	}
}
