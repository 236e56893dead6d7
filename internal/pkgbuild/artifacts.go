package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"nsbuild/internal/checks"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/keptroot"
)

// testOptions say how the tests of the source are run.
func (b *builder) testOptions() checks.TestOptions {
	o := checks.TestOptions{Network: b.o.CheckNetwork}
	if b.o.Artifacts != "" {
		o.Keep = b.keepArtifacts
	}
	return o
}

// keepArtifacts copies what a test has left for people to a directory of its name, below one that
// is called as the log is. A test that has left nothing has none.
func (b *builder) keepArtifacts(ctx context.Context, test string, from jails.Files,
	dir string) (err error) {
	empty, err := emptyDir(from, dir)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil: // the test has deleted it, or put something else there
		b.log.Printf("Artifacts of %s are not kept: %v", test, err)
		return nil
	case empty:
		return nil
	}
	to := filepath.Join(b.o.Artifacts, strings.TrimSuffix(filepath.Base(b.log.Path), ".build"))
	if err := os.MkdirAll(to, 0o777); err != nil {
		return fmt.Errorf("keeping the artifacts of %s: %w", test, err)
	}
	to = free(filepath.Join(to, test))
	c := keptroot.Copier{Jail: from}
	if err := c.Copy(ctx, dir, to); err != nil {
		return fmt.Errorf("keeping the artifacts of %s: %w", test, err)
	}
	b.log.Printf("Artifacts of %s: %s", test, to)
	if c.Left > 0 {
		b.log.Printf("%s not copied: links, devices, FIFOs and sockets are left out",
			fault.Count(c.Left, "name is", "names are"))
	}
	return nil
}

// free is a name that nothing has yet: tests may be called alike.
func free(name string) string {
	for i := 1; ; i++ {
		one := name
		if i > 1 {
			one = fmt.Sprintf("%s.%d", name, i)
		}
		if _, err := os.Lstat(one); err != nil {
			return one
		}
	}
}

func emptyDir(in jails.Files, dir string) (empty bool, err error) {
	f, err := in.Open(dir)
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}
