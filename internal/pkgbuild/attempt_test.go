package pkgbuild

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"

	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/copies"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/kept"
	"nsbuild/internal/progress"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/source"
	"nsbuild/internal/workdir"
)

// fakeHolder is a holder without a jail.
type fakeHolder struct {
	jails.Holder       // what is not there is not to be called
	free         int64 // of the scratch
	kills        int   // for memory that ran out
	ended        bool
	spec         sandbox.HolderSpec
	scratch      sandbox.Scratch
}

func (h *fakeHolder) Scratch() sandbox.Scratch  { return h.scratch }
func (h *fakeHolder) Room() (jails.Room, error) { return fakeRoom{h}, nil }
func (h *fakeHolder) Spared() []string          { return nil }
func (h *fakeHolder) Close() error              { h.ended = true; return nil }

func (h *fakeHolder) Exhausted() (*sandbox.Exhaustion, error) {
	if h.kills == 0 {
		return nil, nil
	}
	return &sandbox.Exhaustion{Kills: h.kills}, nil
}

type fakeRoom struct{ h *fakeHolder }

func (r fakeRoom) Now() (sandbox.Space, error) {
	return sandbox.Space{Total: 1 << 30, Free: r.h.free}, nil
}
func (r fakeRoom) Close() error { return nil }

// fakeBase is a base without a file.
func fakeBase(t *testing.T, state string) *base.Generation {
	t.Helper()
	store, err := base.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	draft, err := store.Begin(t.Context(), "bookworm", nil)
	if err == nil {
		err = os.Mkdir(draft.Tree(), 0o755)
	}
	if err == nil {
		_, err = draft.Commit(base.Manifest{Suite: "bookworm", Arch: "amd64"})
	}
	if err != nil {
		t.Fatal(err)
	}
	g, err := store.Use("bookworm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() }) // its directory goes, too
	return g
}

// fakeBuild is a build in which no jail is opened, and the holders that it has started.
func fakeBuild(t *testing.T, o Request) (*builder, *[]*fakeHolder) {
	t.Helper()
	log, _ := logtest.NewNullLogger()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	work, err := workdir.Open(t.Context(), t.TempDir(), log)
	check(err)
	env := &Env{StateDir: t.TempDir(), CacheDir: t.TempDir(), Log: log, Work: work,
		Progress: progress.New(io.Discard, progress.Options{}), Meter: &progress.Meter{},
		shared: newShared()}
	env.shared.memory.Total = 16 << 30
	env.Kept, err = kept.Open(env.StateDir)
	check(err)
	g := fakeBase(t, env.StateDir)
	text, err := buildlog.Create(t.TempDir(), "fake", "1", "amd64", time.Now(), buildlog.Options{})
	check(err)
	t.Cleanup(func() {
		check(env.Progress.Close())
		check(work.Close(context.WithoutCancel(t.Context()), log))
	})
	o.ScratchSize = 4 << 30
	holders := &[]*fakeHolder{}
	b := &builder{env: env, copies: &copies.Beside{},
		task: task{o: o, in: &source.Source{Spec: "fake.dsc", DSC: &dsc.Source{Name: "fake"}}},
		record: record{log: text, outcome: &Outcome{LogPath: text.Path},
			result: &result.Result{}},
		over: over{base: g},
		hold: func(_ context.Context, _ string, spec sandbox.HolderSpec) (jails.Holder, error) {
			h := &fakeHolder{spec: spec, free: 1 << 29, scratch: sandbox.ScratchTmpfs}
			if spec.ScratchDir != "" {
				h.scratch = sandbox.ScratchDisk
			}
			*holders = append(*holders, h)
			return h, nil
		}}
	return b, holders
}

// TestAttempts has builds fail in ways that another attempt may mend, or not, and looks at the
// attempts that there are, at how they write, and at what the build comes to.
func TestAttempts(t *testing.T) {
	broken := errors.New("status 2")
	fill := func(at *attempt) { at.holder.(*fakeHolder).free = 0 }
	for _, c := range []struct {
		name    string
		scratch string
		limit   int64
		// run is the build's own stage; n counts attempts from 1
		run    func(at *attempt, n int) error
		places string // of each attempt
		fails  string
		status buildlog.Status
		kind   fault.Kind
	}{
		{name: "success", run: func(*attempt, int) error { return nil }, places: "tmpfs",
			status: buildlog.Successful},
		{name: "failure", run: func(*attempt, int) error { return broken }, places: "tmpfs",
			fails: buildlog.StageBuild, status: buildlog.Attempted, kind: fault.Attempted},
		{name: "full once", run: func(at *attempt, n int) error {
			if n > 1 {
				return nil
			}
			fill(at)
			return broken
		}, places: "tmpfs disk", status: buildlog.Successful},
		{name: "the log says that it is full", run: func(at *attempt, n int) error {
			if n > 1 {
				return nil
			}
			at.log.Printf("cp: error writing 'x': No space left on device")
			return broken
		}, places: "tmpfs disk", status: buildlog.Successful},
		{name: "full, and the disk, too", run: func(at *attempt, _ int) error {
			fill(at)
			return broken
		}, places: "tmpfs disk", fails: buildlog.StageCheckSpace, status: buildlog.GivenBack,
			kind: fault.GivenBack},
		{name: "full, and a tmpfs is to be", scratch: ScratchTmpfs,
			run: func(at *attempt, _ int) error { fill(at); return broken }, places: "tmpfs",
			fails: buildlog.StageCheckSpace, status: buildlog.GivenBack, kind: fault.GivenBack},
		{name: "disk", scratch: ScratchDisk, run: func(*attempt, int) error { return nil },
			places: "disk", status: buildlog.Successful},
		{name: "it sees an overlay", run: func(at *attempt, n int) error {
			if at.root.jail = jails.Of(&sandbox.Jail{}); at.plain {
				return nil
			}
			at.log.Printf("mv: cannot move 'a' to 'b': Invalid cross-device link")
			return broken
		}, places: "tmpfs plain:tmpfs", status: buildlog.Successful},
		{name: "it sees an overlay, and a full tmpfs", run: func(at *attempt, n int) error {
			at.root.jail = jails.Of(&sandbox.Jail{})
			switch n {
			case 1:
				at.log.Printf("mv: cannot move 'a' to 'b': Invalid cross-device link")
			case 2:
				fill(at)
			default:
				return nil
			}
			return broken
		}, places: "tmpfs plain:tmpfs plain:disk", status: buildlog.Successful},
		{name: "a plain tree does not help", run: func(at *attempt, _ int) error {
			at.root.jail = jails.Of(&sandbox.Jail{})
			at.log.Printf("mv: cannot move 'a' to 'b': Invalid cross-device link")
			return broken
		}, places: "tmpfs plain:tmpfs", fails: buildlog.StageBuild, status: buildlog.Attempted,
			kind: fault.Attempted},
		{name: "memory ran out", limit: 1 << 33, run: func(at *attempt, _ int) error {
			at.holder.(*fakeHolder).kills = 3
			return broken
		}, places: "tmpfs", fails: buildlog.StageCheckMemory, status: buildlog.GivenBack,
			kind: fault.GivenBack},
		{name: "a part has another name", run: func(*attempt, int) error {
			return &stageError{buildlog.StageSourceChanges, broken}
		}, places: "tmpfs", fails: buildlog.StageSourceChanges,
			status: buildlog.StatusOf(buildlog.StageSourceChanges)},
		{name: "nothing to build", run: func(*attempt, int) error { return errSkipped },
			places: "tmpfs", status: buildlog.Skipped},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.scratch == "" {
				c.scratch = ScratchAuto
			}
			b, holders := fakeBuild(t, Request{How: How{Scratch: c.scratch,
				Limits: sandbox.Limits{Memory: c.limit}}})
			var places []string
			stages := []stage{
				{name: "first", fails: buildlog.StageUnpack,
					run: func(at *attempt, _ context.Context) error {
						at.found.strays = append(at.found.strays, result.Stray{Command: "left"})
						where := string(at.holder.Scratch())
						if at.plain {
							where = "plain:" + where
						}
						places = append(places, where)
						return nil
					}},
				{name: "build", fails: buildlog.StageBuild, foreign: true,
					run: func(at *attempt, _ context.Context) error {
						return c.run(at, len(places))
					}},
			}
			at, err := b.begin(t.Context(), how{})
			if err != nil {
				t.Fatal(err)
			}
			at, err = b.attempts(t.Context(), at, stages)
			for i, h := range *holders {
				if last := i == len(*holders)-1; h.ended == last {
					t.Errorf("holder %d of %d has ended: %t", i+1, len(*holders), h.ended)
				}
			}
			err = b.report(at, err)
			at.close(t.Context())
			if got := strings.Join(places, " "); got != c.places {
				t.Errorf("attempts: %s, want %s", got, c.places)
			}
			if b.outcome.Status != c.status || b.result.Outcome.FailStage != c.fails ||
				c.kind != 0 && fault.KindOf(err) != c.kind {
				t.Errorf("%s at %q: %v; want %s at %q", b.outcome.Status,
					b.result.Outcome.FailStage, err, c.status, c.fails)
			}
			if n := len(b.result.Strays); n != 1 {
				t.Errorf("the result has the findings of %d attempts", n)
			}
			if !slices.ContainsFunc(b.result.Stages, func(s result.Stage) bool {
				return s.Name == "build" && s.Failed == (c.fails != "" || c.status ==
					buildlog.Skipped)
			}) {
				t.Errorf("stages: %+v", b.result.Stages)
			}
		})
	}
}
