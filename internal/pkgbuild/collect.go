package pkgbuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/dsc"
	"nsbuild/internal/flock"
	"nsbuild/internal/result"
	"nsbuild/internal/source"
)

// kernel is what the machine runs, for the log.
func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " +
		unix.ByteSliceToString(u.Machine[:])
}

// collect takes the results out of the stopped jail: what the .changes lists, each checked against
// it, the .changes last.
func (at *attempt) collect(ctx context.Context) error {
	at.deps.Saved() // what keeps the layer runs beside the build and would be ended, too
	if _, err := at.root.jail.Stop(); err != nil {
		return err
	}
	at.root.stopped = true
	name := at.changesName()
	text, err := at.readOut(name)
	if err != nil {
		return fmt.Errorf("the build left no %s: %w", name, err)
	}
	text = at.overrideDistribution(text)
	changes, err := dsc.ParseChanges(name, bytes.NewReader(text), nil)
	if err != nil {
		return err
	}
	at.log.Section("Changes")
	at.log.Subsection(name + ":")
	at.log.Printf("%s", text)
	if err := at.checkNames(changes); err != nil {
		return err
	}
	aside := newAside(at.output)
	defer aside.discard()
	if err := at.takeResults(ctx, aside, changes); err != nil {
		return err
	}
	sourceChanges, err := at.collectSourceOnly(ctx, aside)
	if err != nil {
		return &stageError{buildlog.StageSourceChanges, err}
	}
	if err := at.describeResults(ctx, changes, aside); err != nil {
		return err
	}
	if sourceChanges != "" {
		if err := aside.write(sourceChanges, at.sources.changes); err != nil {
			return err
		}
	}
	if err := aside.write(name, text); err != nil {
		return err
	}
	if err := aside.synced(ctx); err != nil {
		return noPlace(at.output, err)
	}
	done, err := at.env.publishing(ctx)
	if err != nil {
		return err
	}
	if err = at.checkReplaced(aside, changes); err != nil {
		return errors.Join(err, done())
	}
	at.rememberEarlier(changes)
	if at.found.files, err = aside.publish(); err == nil {
		err = at.noteArtefacts(changes)
	}
	return errors.Join(err, done())
}

// takeOut copies files of the jail's aside while they are verified. One that another .changes
// listed is there already.
func (at *attempt) takeOut(files *aside) dsc.Opener {
	return func(file string) (io.ReadCloser, error) {
		if done := files.path(file); done != "" {
			return os.Open(done)
		}
		in, err := at.root.jail.Open(path.Join(path.Dir(at.sourceTree()), file))
		if err != nil {
			return nil, err
		}
		out, err := files.create(file)
		if err != nil {
			return nil, errors.Join(err, in.Close())
		}
		return source.Tee(in, out), nil
	}
}

// overrideDistribution has a .changes be for the suite that was asked for by name, as sbuild does.
func (b *builder) overrideDistribution(text []byte) []byte {
	if b.o.Suite == "" {
		return text
	}
	return distributionField().ReplaceAllLiteral(text, []byte("Distribution: "+b.o.Suite))
}

var distributionField = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^Distribution:.*$`)
})

func (at *attempt) readOut(name string) ([]byte, error) {
	f, err := at.root.jail.Open(path.Join(path.Dir(at.sourceTree()), name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxChanges+1))
	if err == nil && len(text) > maxChanges {
		err = fmt.Errorf("it is larger than %d bytes", maxChanges)
	}
	return text, err
}

// describeResults writes what was built into the log.
func (at *attempt) describeResults(ctx context.Context, changes *dsc.Changes, files *aside) error {
	at.log.Section("Buildinfo")
	for _, f := range changes.Files {
		if strings.HasSuffix(f.Name, ".buildinfo") {
			if err := at.logFile(files.path(f.Name)); err != nil {
				return err
			}
		}
	}
	at.log.Section("Package contents")
	left := listing{text: maxListing, data: maxUnpacked}
	for _, f := range changes.Files {
		if isPackage(f.Name) {
			at.log.Subsection(f.Name)
			if err := at.describeDeb(ctx, files.path(f.Name), f.Size, &left); ctx.Err() != nil {
				return context.Cause(ctx)
			} else if err != nil {
				at.log.Warning("%s cannot be listed: %v", f.Name, err)
			}
		}
	}
	at.log.Section("Post Build")
	return nil
}

// logFile writes a file into the log.
func (b *builder) logFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	stream := b.log.Stream()
	defer stream.Flush()
	_, err = io.Copy(stream, f)
	return err
}

// noteArtefacts records what the build has left. A .changes is listed nowhere, so its hash is taken
// here.
func (at *attempt) noteArtefacts(changes *dsc.Changes) (err error) {
	for _, file := range at.found.files {
		name := filepath.Base(file)
		a := result.Artefact{Kind: "other", Path: file, Hashed: result.Hashed{Name: name}}
		switch kind := strings.TrimPrefix(filepath.Ext(name), "."); kind {
		case "deb", "udeb", "changes", "buildinfo", "dsc":
			a.Kind = kind
		}
		if f, ok := changes.Listed(name); ok && f.SHA256 != "" {
			a.Size, a.SHA256 = f.Size, f.SHA256
		} else if a.Hashed, err = hashed(file); err != nil {
			return err
		}
		at.found.artefacts = append(at.found.artefacts, a)
	}
	return nil
}

// hashed is a file's entry in the result.
func hashed(file string) (result.Hashed, error) {
	f, err := os.Open(file)
	if err != nil {
		return result.Hashed{}, err
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	return result.Hashed{Name: filepath.Base(file), Size: size,
		SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}

// publishing waits until no other build gives its files their names: of two that build the same,
// each leaves a whole set.
func (e *Env) publishing(ctx context.Context) (done func() error, err error) {
	f, err := os.OpenFile(filepath.Join(e.StateDir, "publish.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("storing the results: %w", err)
	}
	if err := lockUntil(ctx, f); err != nil {
		return nil, errors.Join(fmt.Errorf("storing the results: %w", err), f.Close())
	}
	return f.Close, nil
}

// lockUntil locks an open file when nobody else holds it any more, unless ctx ends before.
func lockUntil(ctx context.Context, f *os.File) error {
	for {
		err := flock.Try(f, flock.Exclusive)
		if !errors.Is(err, flock.ErrHeld) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// changesName is the name of the build's .changes.
func (b *builder) changesName() string {
	return dsc.PkgVer(b.header.Package, b.version) + "_" + b.fileArch() + ".changes"
}
