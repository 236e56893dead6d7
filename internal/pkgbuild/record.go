package pkgbuild

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/flock"
	"nsbuild/internal/machine"
	"nsbuild/internal/result"
)

// record is what is told of a build: its log and its result.
type record struct {
	log     *buildlog.File
	logLock *os.File // of the log, while it is written
	header  buildlog.Header
	summary buildlog.Summary
	result  *result.Result
	outcome *Outcome
}

// newRecord is that of a build of which no more is known than what was asked for.
func newRecord(program string, r Request) record {
	build, host := r.archs()
	return record{outcome: &Outcome{}, result: &result.Result{
		Program: program, Started: time.Now().UTC(), Source: result.Source{From: r.From},
		Target: result.Target{Distribution: r.Suite, BuildArch: build, HostArch: host,
			BuildType: r.buildType(), Profiles: r.Profiles, Options: r.words()},
		Use: result.Use{SpaceKiB: -1}}}
}

// Unbegun is the outcome of a build that was not begun; err says why.
func Unbegun(program string, r Request, err error) *Outcome {
	c := newRecord(program, r)
	c.end(err, "")
	return c.outcome
}

// noteSource has the result say what is built, as far as that is known.
func (b *builder) noteSource() {
	s := &b.result.Source
	s.From = b.in.Spec
	s.Name, s.Version = b.in.Identity()
	switch {
	case b.in.DSC != nil:
		d := b.in.DSC
		s.Format, s.Signature, s.Signer, s.Key = d.Format, d.Signature.State.String(),
			d.Signature.Signer, d.Signature.KeyID
		s.Files = nil
		for _, f := range d.Files {
			s.Files = append(s.Files, result.Hashed{Name: f.Name, Size: f.Size, SHA256: f.SHA256})
		}
		s.DSC = nil
		if len(b.in.Text) > 0 {
			s.DSC = &result.Hashed{Name: d.DscName(), Size: int64(len(b.in.Text)),
				SHA256: hashes.SHA256(b.in.Text)}
		}
	case b.in.Tree != nil:
		s.Format, s.Changelog = b.in.Tree.Format, b.in.Tree.Changelog.Date.UTC()
	}
}

// noteTarget has the result say for what it is built.
func (b *builder) noteTarget() {
	b.result.Target = result.Target{Distribution: cmp.Or(b.suite.Name, b.o.Suite),
		Vendor:    b.suite.Distribution,
		BuildArch: b.arch, HostArch: b.host, BuildType: b.o.buildType(), Profiles: b.o.Profiles,
		Options: b.o.words()}
}

// openLog starts the log.
func (b *builder) openLog() (err error) {
	name, text := b.in.Identity()
	version, err := dsc.ParseVersion(text)
	if err != nil {
		return err
	}
	if b.version, err = b.o.binaryVersion(version); err != nil {
		return err
	}
	if err := b.env.shared.claim(
		strings.Join([]string{b.output, name, b.version.String(), b.suite.Name, b.fileArch(),
			b.result.RetryOf}, "\x00"), b.in.Spec); err != nil {
		return err
	}
	start := time.Now()
	var opt buildlog.Options
	if b.o.Verbose {
		opt.Tee = b.env.Progress.LogWriter()
		if b.o.ShowLog != nil {
			opt.Tee = b.o.ShowLog
		}
	}
	dir := b.output
	switch {
	case b.o.NoLog: // hooks and checks read it
		if dir, err = b.env.Work.Make("log-"); err != nil {
			return fmt.Errorf("opening the build log: %w", err)
		}
	case b.o.LogDir != "":
		if dir, err = filepath.Abs(b.o.LogDir); err != nil {
			return err
		}
		opt.LinkDir = b.output
	}
	if b.log, err = buildlog.Create(dir, name, b.version.FileName(), b.fileArch(), start,
		opt); err != nil {
		return fmt.Errorf("opening the build log: %w", err)
	}
	if !b.o.NoLog {
		b.outcome.LogPath = b.log.Path
		b.lockLog()
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	b.header = buildlog.Header{
		Program: b.env.Program, Host: host, Package: name, Version: b.version.String(),
		SourceVersion: text, Distribution: b.suite.Name,
		MachineArch: machine.Native(), HostArch: b.host, BuildArch: b.arch, Profiles: b.o.Profiles,
		BuildType: b.o.buildType(), Start: start, Extra: b.header.Extra,
	}
	if limits := describeLimits(b.o.Limits); limits != "" {
		b.header.Extra = append(b.header.Extra, buildlog.Field{Name: "Limits", Value: limits})
	}
	b.log.Header(b.header)
	b.describeBase()
	b.describeAdditions()
	b.describeSource()
	b.warnProfiles()
	b.describeHooks()
	b.result.Isolation.Rung, b.result.Isolation.Host = string(b.base.Manifest.IDs.Rung),
		buildroot.Host
	b.result.Log = b.outcome.LogPath
	return nil
}

// logPlace is where the log is on the host, or where one would be that is not to be left there.
func (b *builder) logPlace() string {
	if b.o.NoLog {
		return filepath.Join(b.output, filepath.Base(b.log.Path))
	}
	return b.log.Path
}

// lockLog has others know that the log is being written. Where a file system knows no locks,
// nothing says so.
func (b *builder) lockLog() {
	var err error
	if b.logLock, err = flock.Open(b.log.Path, os.O_RDONLY, flock.Shared); err != nil {
		b.env.Log.Debugf("locking %s: %v", b.log.Path, err)
	}
}

// dropLogs deletes logs of earlier builds of the same, of which so many are not to be kept. One
// that is being written stays. That one cannot be deleted is no failure of the build.
func (b *builder) dropLogs() {
	if b.logLock != nil {
		if err := flock.Close(b.logLock); err != nil {
			b.env.Log.Warnf("unlocking the log: %v", err)
		}
	}
	if b.o.KeepLogs == 0 || b.outcome.LogPath == "" {
		return
	}
	earlier, err := b.log.Earlier(b.suite.Name)
	for _, file := range earlier[min(len(earlier), b.o.KeepLogs-1):] {
		err = errors.Join(err, dropLog(file))
	}
	if err != nil {
		b.env.Log.Warnf("deleting logs of earlier builds: %v", err)
	}
}

func dropLog(file string) error {
	f, err := flock.Open(file, os.O_RDONLY, flock.Exclusive)
	if errors.Is(err, flock.ErrHeld) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(os.Remove(file), flock.Close(f))
}

// describeSource says in the log what is built.
func (b *builder) describeSource() {
	b.log.Section("Fetch source files")
	switch {
	case b.in.Tree != nil:
		b.log.Printf("Source directory %s", b.in.From)
		for _, n := range b.in.Notes {
			b.log.Printf("%s", n)
		}
	default:
		b.log.Printf("%s: %s", b.in.DSC.DscName(), b.in.DSC.Signature)
		for _, weak := range b.in.DSC.WeakFiles() {
			b.log.Warning("%s is promised by a weak hash only", weak)
		}
		b.env.Log.Debugf("%s: %s", b.in.DSC.DscName(), b.in.DSC.Signature)
	}
}
