package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/fault"
	"nsbuild/internal/flock"
	"nsbuild/internal/sandbox"
)

// results is where a build writes, as its dpkg-buildpackage sees it from outside the jail.
func results(p *fakejail.Proc) string { return filepath.Join(p.Jail().Root(), buildroot.Dir) }

// edit changes the .changes of a build that has ended.
func edit(change func(text string) string) func(p *fakejail.Proc) error {
	return func(p *fakejail.Proc) error {
		found, err := filepath.Glob(filepath.Join(results(p), "*.changes"))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("%d .changes: %w", len(found), err)
		}
		text, err := os.ReadFile(found[0])
		if err == nil {
			err = os.WriteFile(found[0], []byte(change(string(text))), 0o644)
		}
		return err
	}
}

// list has the .changes list one more file.
func list(sha256 string, size int64, name string) func(p *fakejail.Proc) error {
	return edit(func(text string) string {
		text = strings.Replace(text, "Files:\n", fmt.Sprintf("Files:\n %032d %d misc optional %s\n",
			0, size, name), 1)
		text = strings.Replace(text, "Checksums-Sha1:\n",
			fmt.Sprintf("Checksums-Sha1:\n %040d %d %s\n", 0, size, name), 1)
		return strings.Replace(text, "Checksums-Sha256:\n",
			fmt.Sprintf("Checksums-Sha256:\n %s %d %s\n", sha256, size, name), 1)
	})
}

// TestHostileResults has a package write results that are not to be taken: nothing of them gets a
// name outside.
func TestHostileResults(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	zeros := strings.Repeat("0", 64)
	for _, c := range []struct {
		name   string
		after  func(p *fakejail.Proc) error // dpkg-buildpackage
		with   func(*Request)
		status string
		err    []string
	}{
		{name: "a file that is not there", after: list(zeros, 3, "hello-doc_2.10-3_all.deb"),
			status: "failed, parse-changes", err: []string{"hello-doc_2.10-3_all.deb"}},
		{name: "another hash", after: func(p *fakejail.Proc) error {
			return errors.Join(list(zeros, 3, "hello-doc_2.10-3_all.deb")(p),
				p.WriteFile(buildroot.Dir+"/hello-doc_2.10-3_all.deb", "abc", 0o644))
		}, status: "failed, parse-changes", err: []string{"hello-doc_2.10-3_all.deb"}},
		{name: "another size", after: func(p *fakejail.Proc) error {
			return errors.Join(list(zeros, 4, "hello-doc_2.10-3_all.deb")(p),
				p.WriteFile(buildroot.Dir+"/hello-doc_2.10-3_all.deb", "abc", 0o644))
		}, status: "failed, parse-changes", err: []string{"hello-doc_2.10-3_all.deb", "3"}},
		{name: "a path", after: list(zeros, 3, "../../etc/passwd"), status: "failed, parse-changes",
			err: []string{"../../etc/passwd"}},
		{name: "a path from the top", after: list(zeros, 3, "/etc/passwd"),
			status: "failed, parse-changes", err: []string{"/etc/passwd"}},
		{name: "a link", after: func(p *fakejail.Proc) error {
			return errors.Join(list(zeros, 3, "hello-doc_2.10-3_all.deb")(p),
				p.Symlink("/etc/passwd", buildroot.Dir+"/hello-doc_2.10-3_all.deb"))
		}, status: "failed, parse-changes", err: []string{"hello-doc_2.10-3_all.deb"}},
		{name: "a link as .changes", after: func(p *fakejail.Proc) error {
			name := buildroot.Dir + "/hello_2.10-3_" + architecture(p) + ".changes"
			return errors.Join(p.Remove(name), p.Symlink("/etc/passwd", name))
		}, status: "failed, parse-changes", err: []string{"the build left no hello_2.10-3_"}},
		{name: "a .changes without end", after: edit(func(text string) string {
			return text + strings.Repeat(" x\n", maxChanges/3)
		}), status: "failed, parse-changes", err: []string{"it is larger than 16777216 bytes"}},
		{name: "no .changes at all", after: edit(func(string) string { return "PK\x03\x04" }),
			status: "failed, parse-changes", err: []string{".changes"}},
		{name: "a field that lacks", after: edit(func(text string) string {
			return strings.Replace(text, "Version: ", "X-Version: ", 1)
		}), status: "failed, parse-changes", err: []string{"Version"}},
		{name: "the .changes in itself",
			after: list(zeros, 3, "hello_2.10-3_other.changes"), status: "failed, parse-changes",
			err: []string{".changes"}},
		{name: "more than there may be", after: list(zeros, 1<<41, "hello_2.10-3_image.tar"),
			status: "failed, parse-changes",
			err:    []string{"lists more than 64 GiB of files (with hello_2.10-3_image.tar)"}},
		{name: "more than is allowed", after: list(zeros, 1<<20, "hello_2.10-3_image.tar"),
			with: func(r *Request) { r.MaxResults = 1 << 16 }, status: "failed, parse-changes",
			err: []string{"lists more than 64 KiB of files"}},
		{name: "more than the disk has", after: list(zeros, 1<<60, "hello_2.10-3_image.tar"),
			with: func(r *Request) { r.MaxResults = 1 << 61 }, status: "given-back, check-space",
			err: []string{"the results cannot be stored in "}},
		{name: "a .buildinfo of any size", after: list(zeros, 1<<30, "hello_2.10-3_x.buildinfo"),
			status: "failed, parse-changes", err: []string{"no .buildinfo has more than 16 MiB"}},
	} {
		w.in(c.name, func(t *testing.T) {
			w.replace("dpkg-buildpackage", then(programs.BuildPackage, c.after))
			b := w.build(spec, c.with)
			if got := b.ends(); !strings.HasPrefix(got, c.status) {
				t.Errorf("ends: %s, want %s (%v)", got, c.status, b.err)
			}
			w.tells("the error", fmt.Sprint(b.err), c.err...)
			left, err := filepath.Glob(filepath.Join(b.dir, "*"))
			w.check(err)
			if slices.ContainsFunc(left, func(name string) bool {
				return filepath.Ext(name) != ".build"
			}) || len(b.result.Artefacts) > 0 {
				t.Errorf("it left %q, and tells of %v", left, b.result.Artefacts)
			}
		})
	}
}

// architecture is that of a jail's dpkg.
func architecture(p *fakejail.Proc) string {
	text, err := p.ReadFile("/var/lib/dpkg/status")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), "Architecture: ")
	arch, _, _ := strings.Cut(rest, "\n")
	return arch
}

// TestResults looks at what a build has stored, and at what result.json says of each file.
func TestResults(t *testing.T) {
	w := newWorld(t)
	s := crane()
	s.Packages = []fakedebian.Package{{Name: "hello", Architecture: "any"},
		{Name: "hello-doc", Architecture: "all"}}
	b := w.must(w.source(s))
	changes := "hello_2.10-3_" + w.arch + ".changes"
	want := []string{"hello_2.10-3_" + w.arch + ".deb", "hello-doc_2.10-3_all.deb",
		"hello_2.10-3_" + w.arch + ".buildinfo", changes}
	if got := b.files(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for i, a := range b.result.Artefacts {
		st, err := os.Stat(a.Path)
		w.check(err)
		if a.Size != st.Size() || len(a.SHA256) != 64 || st.Mode() != 0o644 ||
			a.Kind != strings.TrimPrefix(filepath.Ext(want[i]), ".") {
			t.Errorf("%+v: %v", a, st)
		}
	}
	w.tells(changes, w.read(filepath.Join(b.dir, changes)), "Distribution: crane\n")
	w.tells("the log", b.log, "hello-doc_2.10-3_all.deb\n", "Package: hello-doc\n",
		"-rw-r--r-- root/root         5 1970-01-01 00:00 ./usr/share/doc/hello/copyright")
	if d := b.result.Inputs.Dependencies; len(d) == 0 || b.result.Inputs.Layer.Cached {
		t.Errorf("%+v", b.result.Inputs)
	}
	if again := w.must(w.source(s)); !again.result.Inputs.Layer.Cached ||
		again.result.Inputs.Layer.Key != b.result.Inputs.Layer.Key {
		t.Errorf("%+v", again.result.Inputs.Layer)
	} else if ran := again.commands("apt-get"); len(ran) > 0 {
		t.Errorf("over a layer there ran %q", ran)
	}
	if none := w.must(w.source(s), func(r *Request) { r.NoLayers = true }); len(none.commands(
		"apt-get")) != 2 || none.result.Inputs.Layer.Cached {
		t.Errorf("without layers there ran %q", none.commands("apt-get"))
	}
}

// TestReplacing stores results where others are: those of the same source are replaced.
func TestReplacing(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	deb := "hello_2.10-3_" + w.arch + ".deb"
	dir := filepath.Dir(w.must(spec).Artefacts[0])
	into := func(r *Request) { r.Output = dir }
	w.must(spec, into)
	w.write(filepath.Join(dir, deb), "of somebody else")
	b := w.build(spec, into)
	w.tells("the error", fmt.Sprint(b.err), deb+" is there already, and does not come from the "+
		"source hello: it is not replaced")
	if got := w.read(filepath.Join(dir, deb)); got != "of somebody else" {
		t.Errorf("it was replaced by %q", got)
	}
}

// TestLogs: of the logs of one version, those that are wanted stay, whether the builds went well or
// not; also of builds that begin in one second.
func TestLogs(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	out := t.TempDir()
	other := "hello_2.10-2_" + w.arch + "-2020-01-01T00:00:00Z.build"
	w.write(filepath.Join(out, other), "Distribution: "+suiteName+"\n")
	for _, c := range []struct {
		keep, builds, left int
	}{{1, 3, 1}, {0, 3, 4}, {2, 1, 2}} {
		for i := range c.builds {
			if i == 1 {
				w.replace("dpkg-buildpackage", fakejail.Prints("make: *** Error 1\n", 2))
			} else {
				w.replace("dpkg-buildpackage", programs.BuildPackage)
			}
			b := w.build(spec, func(r *Request) { r.Output, r.KeepLogs = out, c.keep })
			link, err := filepath.EvalSymlinks(filepath.Join(out, "hello_2.10-3_"+w.arch+".build"))
			w.check(err)
			if link != b.LogPath {
				t.Errorf("the link leads to %s, the log is %s", link, b.LogPath)
			}
		}
		logs, err := filepath.Glob(filepath.Join(out, "hello_2.10-3_*Z.build"))
		w.check(err)
		if len(logs) != c.left {
			t.Errorf("--keep-logs %d leaves %q", c.keep, logs)
		}
	}
	if _, err := os.Stat(filepath.Join(out, other)); err != nil {
		t.Error(err)
	}
}

// TestLogInUse: a log that another build is writing stays.
func TestLogInUse(t *testing.T) {
	w := newWorld(t)
	out := t.TempDir()
	log := filepath.Join(out, "hello_2.10-3_"+w.arch+"-2020-01-01T00:00:00Z.build")
	w.write(log, "Distribution: "+suiteName+"\n")
	used, err := flock.Open(log, os.O_RDONLY, flock.Shared)
	w.check(err)
	spec := w.source(crane())
	keepOne := func(r *Request) { r.Output, r.KeepLogs = out, 1 }
	w.build(spec, keepOne)
	if _, err := os.Stat(log); err != nil {
		t.Error(err)
	}
	w.check(flock.Close(used))
	w.build(spec, keepOne)
	if _, err := os.Stat(log); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}

// TestRefusedDiff: the changes that dpkg-source refuses are in the log and before who waits; the
// file that has them ends with the jail.
func TestRefusedDiff(t *testing.T) {
	w := newWorld(t)
	tree := w.tree(crane())
	const file = "/tmp/hello_2.10-3.diff.aB_c1"
	for _, c := range []struct {
		name, text, link string
		shown            string // the last of the lines
		log              int    // how many lines of it there are
	}{
		{name: "small", shown: "+new", log: 1,
			text: "Description: <x>\n---\n--- a/x\n+++ b/x\n+new\n"},
		{name: "large", text: strings.Repeat("+0123456789abcde\n", 10_000),
			shown: "(the log has more of it)", log: 64 << 10 / 17},
		{name: "a link", link: "/etc/passwd", shown: "unexpected upstream changes, see " + file},
	} {
		w.in(c.name, func(t *testing.T) {
			w.replace("dpkg-source", func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
				err := p.MkdirAll("/tmp")
				if c.link != "" {
					err = errors.Join(err, p.Symlink(c.link, file))
				} else {
					err = errors.Join(err, p.WriteFile(file, c.text, 0o600))
				}
				if err != nil {
					t.Error(err)
				}
				return fakejail.Prints("dpkg-source: error: aborting due to unexpected upstream "+
					"changes, see "+file+"\n", 2)(ctx, p)
			})
			b := w.build(tree)
			if b.Refused != (c.link == "") || b.Refused != strings.Contains(fault.HintOf(b.err),
				"dpkg-source --commit") {
				t.Errorf("refused: %v, hint: %s", b.Refused, fault.HintOf(b.err))
			}
			if last := b.Tail[len(b.Tail)-1].Text; !strings.HasSuffix(last, c.shown) ||
				len(b.Tail) > 70 {
				t.Errorf("%d lines are shown, the last is %q", len(b.Tail), last)
			}
			if slices.ContainsFunc(b.Tail, func(l buildlog.Line) bool {
				return strings.HasPrefix(l.Text, "Description")
			}) {
				t.Error("the form is shown, too")
			}
			if n := strings.Count(b.log, "\n+new\n") + strings.Count(b.log,
				"\n+0123456789abcde"); n < c.log-1 || n > c.log {
				t.Errorf("the log has %d lines of it, want %d", n, c.log)
			}
		})
	}
}
