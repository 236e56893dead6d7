package bootstrap

import (
	"context"
	"errors"
	"time"

	"nsbuild/internal/bootstrap/unpack"
)

// Adopt adds to a tree that was made elsewhere what a base needs for builds and lacks there: the
// builder, and the file that keeps packages from starting daemons. Of o only Holder, Tree, CacheDir
// and Log are used.
func Adopt(ctx context.Context, o Options) error {
	o.Epoch = time.Now() // the day since when the builder has no password
	j := &job{o: o}
	jail, err := j.openJail(ctx)
	if err != nil {
		return err
	}
	all := j.finished(nil)
	err = j.apply(ctx, jail, "finish", unpack.Finish{
		Tree: jailTree,
		Files: []unpack.File{{Path: "/usr/sbin/policy-rc.d", Body: "#!/bin/sh\nexit 101\n",
			Mode: 0o755, Keep: true}}, Lines: all.Lines,
	})
	_, closing := jail.Close()
	return errors.Join(err, closing)
}
