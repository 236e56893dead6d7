package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"nsbuild/internal/base"
	"nsbuild/internal/fault"
	"nsbuild/internal/layer"
	"nsbuild/internal/regular"
	"nsbuild/internal/sandbox"
)

// Ground is what further layers are made over.
type Ground struct {
	Base   *base.Generation
	Lowers []sandbox.Lower
	Caller *sandbox.Caller // see sandbox.Spec
}

// placeCaller gives an ordinary user's own ids a place in the jail: the user that commands run as,
// so that what these write to the caller's files is the caller's. Where that is jail root, the base
// is one whose root is the caller; see callersTree.
func (o *opening) placeCaller(spec *sandbox.Spec) {
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 || spec.Caller != nil {
		return
	}
	if o.HostUsers || o.base == nil {
		// schroot's users are those of the host; the root of another tree is not ours to change
		if uid < sandbox.IDCount && gid < sandbox.IDCount {
			spec.Caller = &sandbox.Caller{UID: uid, GID: gid}
		}
		return
	}
	who, err := lookup(baseFiles(o.base.Tree()), o.Whose, o.WhoseGroup, nil)
	if err != nil || o.Hooks.keep() {
		// a user whom a mount brings, or hooks whose caches belong to jail root
		who.uid, who.gid = uid, gid
	}
	if who.uid > 0 && who.gid == 0 {
		who.gid = who.uid // the files of the base's own group stay its own
	}
	if who.uid < sandbox.IDCount && who.gid < sandbox.IDCount {
		spec.Caller = &sandbox.Caller{UID: who.uid, GID: who.gid}
	}
}

// baseFiles are the files of a base, before there is a jail.
type baseFiles string

func (b baseFiles) Open(name string) (*os.File, error) {
	root, err := os.OpenRoot(string(b))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return regular.OpenIn(root, strings.TrimPrefix(name, "/"))
}

// rootIsCaller tells whether jail root is to be the caller over a base, whose files then have to
// belong to the caller where they are root's.
func rootIsCaller(base *base.Generation, spec *sandbox.Spec) bool {
	return base != nil && spec.Caller != nil && spec.Caller.UID == 0
}

// callersTree is the base as a tree whose root is the caller. It is made once for a generation, and
// kept with the layers.
func (o *opening) callersTree(ctx context.Context, h *sandbox.Holder) (_ *layer.Layer, err error) {
	store, err := layer.Open(o.CacheDir)
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(o.base.Manifest)
	if err != nil {
		return nil, err
	}
	key := layer.Key("base of the caller", o.base.Name, strconv.Itoa(o.base.Number),
		string(manifest), strconv.Itoa(os.Geteuid()), strconv.Itoa(os.Getegid()))
	if found, err := store.Use(key); found != nil || err != nil {
		return found, err
	}
	making, found, err := store.Make(ctx, key, callersPatience)
	if found != nil || err != nil {
		return found, err
	}
	if making != nil {
		defer func() { err = errors.Join(err, making.Close()) }()
	}
	o.Log.Info("making a copy of the base whose root is you, for the files of --bind; " +
		"it is kept with the layers")
	draft, err := store.Begin()
	if err != nil {
		return nil, err
	}
	size, err := h.CallersTree(ctx, o.base.Tree(), draft.Tree())
	committed := false
	if err == nil {
		committed, err = draft.Commit(key, layer.Manifest{Base: o.base.Name,
			Created: time.Now().UTC().Truncate(time.Second), Size: size})
	}
	if !committed {
		err = errors.Join(err, h.RemoveTree(context.WithoutCancel(ctx), draft.Dir()))
	}
	if err = errors.Join(err, draft.Close()); err != nil {
		return nil, fmt.Errorf("copying the base: %w", err)
	}
	if found, err = store.Use(key); found == nil && err == nil {
		err = fault.New(fault.Internal, "nsbuild cache info",
			"the copy of the base is gone as soon as it was made")
	}
	return found, err
}

// callersPatience is how long a copy that another process makes is waited for.
const callersPatience = time.Minute
