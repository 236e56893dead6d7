package pkgbuild

import (
	"context"
	"os"
	"strings"
	"testing"

	"nsbuild/internal/fakejail"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/sandbox"
)

// places are where the attempts of a build have written, in their order.
func (b *built) places() string {
	var all []string
	for _, h := range b.jails.Holders() {
		where := string(h.Scratch())
		for _, j := range h.Jails() {
			if j.Spec.Root.Plain {
				where = "plain " + where
				break
			}
		}
		all = append(all, where)
	}
	return strings.Join(all, ", ")
}

// TestRetries has builds fail in ways that another attempt may mend, or not, and looks at the
// attempts that there are, and at what the build comes to.
func TestRetries(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	fails := fakejail.Prints("make: *** [build] Error 1\n", 2)
	full := first(func(p *fakejail.Proc) { p.Jail().Holder().Write(1 << 40) }, fails)
	overlay := fakejail.Prints("mv: cannot move 'a' to 'b': Invalid cross-device link\n", 2)
	builds := programs.BuildPackage
	with := func(scratch string) func(*Request) {
		return func(r *Request) { r.Scratch = scratch }
	}
	for _, c := range []struct {
		name   string
		with   func(*Request)
		runs   []fakejail.Program // of dpkg-buildpackage in each attempt; the last goes on
		places string
		ends   string
		log    string
	}{
		{"failure", nil, []fakejail.Program{fails}, "tmpfs", "attempted, build, attempted", ""},
		{"full once", nil, []fakejail.Program{full, builds}, "tmpfs, disk", "successful",
			"the tmpfs of 4096 MiB that the build wrote to is full; it is built again, on disk"},
		{"the log says that it is full", nil, []fakejail.Program{
			fakejail.Prints("cp: error writing 'x': No space left on device\n", 2), builds},
			"tmpfs, disk", "successful", "Scratch full"},
		{"the log says so of an earlier attempt", nil, []fakejail.Program{
			fakejail.Prints("cp: error writing 'x': No space left on device\n", 2), fails},
			"tmpfs, disk", "attempted, build, attempted", "Scratch full"},
		{"full, and the disk, too", nil, []fakejail.Program{full}, "tmpfs, disk",
			"given-back, check-space, given back", "Fail-Stage: check-space"},
		{"full, and it is to be a tmpfs", with(ScratchTmpfs), []fakejail.Program{full}, "tmpfs",
			"given-back, check-space, given back", "the tmpfs of 4096 MiB"},
		{"disk", func(r *Request) { r.Scratch, r.ScratchSize = ScratchDisk, 0 },
			[]fakejail.Program{builds}, "disk", "successful",
			"The build writes to disk; with its dependencies about 1024 MiB are expected."},
		{"no memory for its share", func(r *Request) { r.ScratchSize = 32 << 30 },
			[]fakejail.Program{builds}, "disk", "successful", "The build writes to disk"},
		{"no memory for a tmpfs", func(r *Request) {
			r.ScratchSize, r.Scratch = 32<<30, ScratchTmpfs
		}, []fakejail.Program{builds}, "", "given-back, given back", ""},
		{"too small a tmpfs", func(r *Request) { r.ScratchSize = 1 << 20 },
			[]fakejail.Program{builds}, "disk", "successful", ""},
		{"half of what a limit allows", func(r *Request) {
			r.ScratchSize, r.Limits = 0, sandbox.Limits{Memory: 6 << 30}
		}, []fakejail.Program{builds}, "tmpfs", "successful", "a tmpfs of 3072 MiB"},
		{"it sees an overlay", nil, []fakejail.Program{overlay, builds}, "tmpfs, plain tmpfs",
			"successful", "it is built again, in a plain copy of its tree"},
		{"it sees an overlay, and fills the tmpfs", nil,
			[]fakejail.Program{overlay, full, builds}, "tmpfs, plain tmpfs, plain disk",
			"successful", ""},
		{"a plain tree does not help", nil, []fakejail.Program{overlay}, "tmpfs, plain tmpfs",
			"attempted, build, attempted", ""},
		{"an overlay that was asked for", with(ScratchTmpfs), []fakejail.Program{overlay}, "tmpfs",
			"attempted, build, attempted", ""},
		{"a plain tree is asked for", with(ScratchCopy), []fakejail.Program{builds},
			"plain tmpfs", "successful", "Scratch: copy"},
		{"a source that is known to see overlays", func(r *Request) {
			r.PlainSources = []string{"hello"}
		}, []fakejail.Program{builds}, "plain tmpfs", "successful",
			"hello is known to see overlays, and this one cannot be hidden"},
	} {
		w.in(c.name, func(t *testing.T) {
			n := 0
			w.replace("dpkg-buildpackage",
				func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
					run := c.runs[min(n, len(c.runs)-1)]
					n++
					p.Jail().Leave(sandbox.Stray{PID: n, Command: "left"})
					return run(ctx, p)
				})
			b := w.build(spec, c.with)
			if got := b.places(); got != c.places {
				t.Errorf("attempts: %s, want %s", got, c.places)
			}
			if got := b.ends(); got != c.ends {
				t.Errorf("ends: %s, want %s (%v)", got, c.ends, b.err)
			}
			w.tells("the log", b.log, c.log)
			if s := b.result.Stages; n > 0 && (s[0].Attempt != 1 || s[len(s)-1].Attempt != n) {
				t.Errorf("of %d attempts the stages are %+v", n, s)
			}
			if s := b.result.Strays; n > 0 && (len(s) != 1 || s[0].PID != n) {
				t.Errorf("result.json has the findings of other attempts than the last: %v", s)
			}
			// of which the next build is not to know
			w.check(os.RemoveAll(w.dir + "/cache/needs"))
		})
	}
}

// TestNeeds chooses where a build writes by what the last one of its source took.
func TestNeeds(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	file := w.dir + "/cache/needs/hello.json"
	w.replace("dpkg-buildpackage", first(func(p *fakejail.Proc) {
		p.Jail().Holder().Write(5 << 20)
	}, programs.BuildPackage))
	w.must(spec)
	w.tells("what is kept", w.read(file), `"version":"2.10-3"`, `"tree":5242880,`)
	for _, c := range []struct{ name, kept, places string }{
		{"little", `{"tree": 1048576, "dependencies": 1048576}`, "tmpfs"},
		{"a quarter more than there is", `{"tree": 4000000000, "dependencies": 0}`, "disk"},
		{"the dependencies count", `{"tree": 1048576, "dependencies": 5000000000}`, "disk"},
		{"a file that is none", `{`, "tmpfs"},
	} {
		w.in(c.name, func(t *testing.T) {
			w.write(file, c.kept)
			if b := w.must(spec); b.places() != c.places {
				t.Errorf("it wrote to %s", b.places())
			}
		})
	}
}
