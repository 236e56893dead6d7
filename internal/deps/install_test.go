package deps

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"

	"nsbuild/internal/archive/release"
	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/copies"
	"nsbuild/internal/dsc"
	"nsbuild/internal/jails"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
)

// fakeHolder opens no jail.
type fakeHolder struct {
	scratch sandbox.Scratch
	asked   int // for jails
}

var errNoJail = errors.New("there is no jail here")

func (h *fakeHolder) NewJail(context.Context, sandbox.Spec) (jails.Jail, error) {
	h.asked++
	return nil, errNoJail
}
func (h *fakeHolder) Scratch() sandbox.Scratch { return h.scratch }
func (h *fakeHolder) SaveLayer(context.Context, int, string) (int64, error) {
	return 0, errNoJail
}

// TestReuse uses the layer of an earlier build for the same request over the same root, and asks
// neither a mirror nor a jail for that. All else is installed, after the base was confirmed.
func TestReuse(t *testing.T) {
	log, _ := logtest.NewNullLogger()
	store, err := layer.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := buildlog.Create(t.TempDir(), "a", "1", "amd64", time.Now(), buildlog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	relations := func(s string) dsc.Reduced {
		r, err := dsc.ParseRelations(s)
		if err != nil {
			t.Fatal(err)
		}
		return dsc.Reduced{Depends: r}
	}
	m := &Maker{Layers: store, CacheDir: t.TempDir(), Grown: &atomic.Bool{}, Log: log}
	usual := Request{Reduced: relations("debhelper"), Arch: "amd64", Host: "amd64",
		Resolver: ResolverApt, Base: &base.Generation{Name: "bookworm",
			Manifest: base.Manifest{Suite: "bookworm", Packages: []base.Package{{Name: "a"}}}}}
	key := (&installation{Maker: m, Request: &usual, on: On{}}).requestKey()
	made := layer.Key("made earlier")
	draft, err := store.Begin()
	if err == nil {
		err = os.Mkdir(draft.Tree(), 0o755)
	}
	if err == nil {
		_, err = draft.Commit(made, layer.Manifest{Packages: []string{"debhelper 1 all"}})
	}
	if err == nil {
		err = errors.Join(draft.Close(), store.Remember(key, made))
	}
	if err != nil {
		t.Fatal(err)
	}
	outdated := errors.New("the mirror has something newer")
	for _, c := range []struct {
		name    string
		change  func(*Request, *On)
		scratch sandbox.Scratch
		confirm error
		cached  bool
		err     error
		jails   int
	}{
		{name: "the same", cached: true},
		{name: "the same, and the mirror is not asked", confirm: outdated, cached: true},
		{name: "other relations", change: func(r *Request, _ *On) { r.Reduced = relations("cmake") },
			err: errNoJail, jails: 1},
		{name: "other relations, and the base is old", confirm: outdated,
			change: func(r *Request, _ *On) { r.Reduced = relations("cmake") }, err: outdated},
		{name: "another base", change: func(r *Request, _ *On) {
			r.Base = &base.Generation{Manifest: base.Manifest{Suite: "bookworm"}}
		}, err: errNoJail, jails: 1},
		{name: "another architecture", change: func(r *Request, _ *On) { r.Host = "arm64" },
			err: errNoJail, jails: 1},
		{name: "packages from elsewhere", change: func(r *Request, _ *On) { r.Extra.Pins = "Pin" },
			err: errNoJail, jails: 1},
		{name: "hooks", change: func(_ *Request, on *On) { on.Hooked.Key = "x" }, err: errNoJail,
			jails: 1},
		{name: "hooks that nobody knows", err: errNoJail, jails: 1,
			change: func(_ *Request, on *On) { on.Hooked.Unknowable = true }},
		{name: "layers are not wanted", change: func(r *Request, _ *On) { r.NoLayers = true },
			err: errNoJail, jails: 1},
		{name: "no overlays", scratch: sandbox.ScratchCopy, err: errNoJail, jails: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.scratch == "" {
				c.scratch = sandbox.ScratchTmpfs
			}
			h := &fakeHolder{scratch: c.scratch}
			confirmed := 0
			r, on := usual, On{Holder: h, Lowers: []sandbox.Lower{{Path: "/base"}}, Log: text,
				Copies: &copies.Beside{}, Confirm: func() ([]*release.File, error) {
					confirmed++
					return nil, c.confirm
				}}
			if c.change != nil {
				c.change(&r, &on)
			}
			got, err := m.Install(t.Context(), r, on)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("%v, want %v", err, c.err)
			}
			defer got.Close()
			if got.Cached != c.cached || h.asked != c.jails || (confirmed == 0) != c.cached {
				t.Errorf("cached: %t, %d jails, asked %d times whether the base is new", got.Cached,
					h.asked, confirmed)
			}
			if c.cached && (len(got.Lowers) != 2 || filepath.Base(got.Lowers[0].Path) != "tree" ||
				got.Lowers[1].Path != "/base" || got.Key != made) {
				t.Errorf("%+v", got)
			}
		})
	}
}
