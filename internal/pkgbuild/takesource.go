package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"os"

	"nsbuild/internal/buildroot"
	"nsbuild/internal/sandbox"
)

// takeSource moves the unpacked source out of the open jail, as an archive that only jails read.
func (at *attempt) takeSource(ctx context.Context) error {
	f, err := os.CreateTemp(at.env.Work.Path(), "source-*.tar")
	if err != nil {
		return err
	}
	at.sources.tar = f.Name()
	// a hole must not fill the disk
	pack := []string{"tar", "-C", buildroot.Dir, "--numeric-owner", "--sparse", "-cf", "-", "."}
	for _, argv := range [][]string{pack, {"find", buildroot.Dir, "-mindepth", "1", "-delete"}} {
		status, err := at.root.open.Run(ctx,
			sandbox.Command{Argv: argv, Env: buildroot.Env(), Stdout: f})
		if err == nil && !status.Success() {
			err = fmt.Errorf("%s: %s", argv[0], status)
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// bringBackSource unpacks what takeSource took.
func (at *attempt) bringBackSource(ctx context.Context) error {
	f, err := os.Open(at.sources.tar)
	if err != nil {
		return err
	}
	defer f.Close()
	status, err := at.root.open.Run(ctx,
		sandbox.Command{Argv: []string{"tar", "-C", buildroot.Dir, "--numeric-owner", "-xpf", "-"},
			Env: buildroot.Env(), Stdin: f})
	if err == nil && !status.Success() {
		err = fmt.Errorf("tar: %s", status)
	}
	return errors.Join(err, os.Remove(at.sources.tar))
}
