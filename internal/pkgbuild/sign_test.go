package pkgbuild

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSigning has the results signed by a debsign that is made up: with which key, of which files,
// and what result.json says of them then.
func TestSigning(t *testing.T) {
	w := newWorldAlone(t)
	bin, home := t.TempDir(), t.TempDir()
	said := filepath.Join(home, "said")
	program := func(name, script string) {
		w.write(filepath.Join(bin, name), "#!/bin/sh\n"+script+"\n")
		w.check(os.Chmod(filepath.Join(bin, name), 0o755))
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	t.Setenv("HOME", home)
	t.Setenv("DEBFULLNAME", "A B")
	t.Setenv("DEBEMAIL", "ab@mirror.example")
	spec := w.source(crane())
	const signs = `echo "$@" >>` + "SAID" + `
for f; do :; done
printf '\n' >>"$f"`
	debsign := strings.ReplaceAll(signs, "SAID", said)
	for _, c := range []struct {
		name      string
		gpg       string
		debsign   string
		devscript string
		with      func(*Request)
		ends      string
		args      string
		err       string
	}{
		{name: "with any key", gpg: "echo sec:u:255", debsign: debsign, ends: "successful",
			args: "--re-sign hello_2.10-3_" + w.arch + ".changes\n"},
		{name: "with a key", gpg: "echo sec:u:255", debsign: debsign,
			with: func(r *Request) { r.KeyID = "0123456789ABCDEF" }, ends: "successful",
			args: "-k0123456789ABCDEF --re-sign hello_2.10-3_" + w.arch + ".changes\n"},
		{name: "as somebody", gpg: "echo sec:u:255", debsign: debsign,
			with: func(r *Request) { r.Maintainer = "A B <ab@mirror.example>" }, ends: "successful",
			args: "-mA B <ab@mirror.example> --re-sign hello_2.10-3_" + w.arch + ".changes\n"},
		{name: "two .changes", gpg: "echo sec:u:255", debsign: debsign,
			with: func(r *Request) { r.Source, r.SourceOnlyChanges = true, true },
			ends: "successful", args: "--re-sign hello_2.10-3_source.changes\n--no-re-sign " +
				"hello_2.10-3_" + w.arch + ".changes\n"},
		{name: "a binNMU", gpg: "echo sec:u:255", debsign: debsign, with: func(r *Request) {
			r.BinNMU, r.BinNMUVersion, r.ArchAll = "x", 1, false
		}, ends: "successful", args: "--re-sign hello_2.10-3+b1_" + w.arch + ".changes\n"},
		{name: "debsign fails", gpg: "echo sec:u:255", debsign: "echo no; exit 3",
			ends: "failed, sign, internal", err: "debsign hello_2.10-3_" + w.arch +
				".changes: exit status 3"},
		{name: "no key", gpg: "exit 2", debsign: debsign, ends: "failed, usage",
			err: "the results cannot be signed as"},
		{name: "no secret key", gpg: "echo pub:u:255", debsign: debsign, ends: "failed, usage",
			err: "there is no secret key"},
		{name: "it has expired", gpg: "echo sec:e:255", debsign: debsign, ends: "failed, usage",
			err: "the key has expired"},
		{name: "a short key", gpg: "true", debsign: debsign,
			with: func(r *Request) { r.KeyID = "0x01234567" }, ends: "failed, usage",
			err: "a short key ID"},
		{name: "a program of the user's", gpg: "exit 2", debsign: debsign,
			devscript: "DEBSIGN_PROGRAM=own\n", ends: "successful",
			args: "--re-sign hello_2.10-3_" + w.arch + ".changes\n"},
		{name: "a configuration that is none", gpg: "true", debsign: debsign,
			devscript: "exit 3\n", ends: "failed, usage", err: "the configuration of debsign"},
	} {
		w.in(c.name, func(t *testing.T) {
			program("gpg", c.gpg)
			program("debsign", c.debsign)
			w.write(filepath.Join(home, ".devscripts"), c.devscript)
			w.check(os.RemoveAll(said))
			b := w.build(spec, func(r *Request) { r.Sign = true }, c.with)
			if b.ends() != c.ends {
				t.Errorf("ends: %s (%v)", b.ends(), b.err)
			}
			w.tells("the error", fmt.Sprint(b.err), c.err)
			if c.args == "" {
				return
			}
			if got := w.read(said); got != c.args {
				t.Errorf("debsign was given %q, want %q", got, c.args)
			}
			for _, a := range b.result.Artefacts {
				is, err := hashed(a.Path)
				w.check(err)
				if a.Hashed != is {
					t.Errorf("result.json says %+v, it is %+v", a.Hashed, is)
				}
			}
		})
	}
	w.in("there is no debsign", func(t *testing.T) {
		w.check(os.Remove(filepath.Join(bin, "debsign")))
		t.Setenv("PATH", bin)
		b := w.build(spec, func(r *Request) { r.Sign = true })
		if b.ends() != "failed, usage" || b.result.Outcome.Hint !=
			"apt install devscripts, or build without --sign and --keyid" {
			t.Errorf("ends: %s, hint: %s", b.ends(), b.result.Outcome.Hint)
		}
	})
}
