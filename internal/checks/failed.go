package checks

import (
	"context"
	"errors"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/install"
	"nsbuild/internal/sandbox"
)

// Failed is a jail in which a check has failed. It is closed: what was written there is the topmost
// of its layers.
type Failed struct {
	Check     string // its name, and that of a test
	Outcome   string // OutcomeFail, OutcomeWarn or OutcomeError
	Why       string
	Lowers    []sandbox.Lower // topmost first
	HasSource bool            // it lies there unpacked
	// Command is what has failed, with its directory, its user and its environment. Where none is
	// known it has no arguments.
	Command   sandbox.Command
	Artifacts string // the directory that a test was given for what people are to see; ""
	// Brought are files and directories that were brought there for the check, with all below them.
	Brought []string

	layers map[sandbox.Lower]string
}

// Layer is the key of the dependency layer that a layer of the root is; "" for none.
func (f *Failed) Layer(l sandbox.Lower) string { return f.layers[l] }

// end closes a testbed whose check, or a part of it, has ended so. Where it has failed, the bench's
// owner is told of the jail, which may be kept.
func (t *testbed) end(ctx context.Context, check, outcome, why string, err error) error {
	var refused *install.Refused
	switch {
	case errors.Is(err, apt.ErrUnresolved): // nothing was done there
	case errors.As(err, &refused):
		outcome, why = OutcomeFail, err.Error()
	case err != nil:
		outcome, why = OutcomeError, err.Error()
	}
	bad := outcome == OutcomeFail || outcome == OutcomeWarn || outcome == OutcomeError
	if bad && t.Jail != nil && t.Bench.Failed != nil {
		err = errors.Join(err, t.tellFailed(ctx, Failed{Check: check, Outcome: outcome, Why: why}))
	}
	return errors.Join(err, t.close())
}

// tellFailed closes the jail and tells of it.
func (t *testbed) tellFailed(ctx context.Context, f Failed) error {
	f.HasSource, f.Command, f.Artifacts = t.unpacked, t.failing, t.artifacts
	if f.Command.Env == nil {
		f.Command.Env = buildroot.Env()
	}
	f.Brought = []string{checkDir}
	if t.unpacked {
		f.Brought = append(f.Brought, path.Join(buildroot.Dir, filepath.Base(t.Source.DSC.Path)))
		for _, file := range t.Source.DSC.Files {
			f.Brought = append(f.Brought, path.Join(buildroot.Dir, file.Name))
		}
	}
	t.installed.Saved() // its layer can be used by its key from now on
	jail := sandbox.Lower{Jail: t.Jail.ID()}
	strays, err := t.closeJail()
	if err != nil {
		return err
	}
	for _, s := range strays {
		t.say("Ended, as it was still running: %s", buildlog.VisibleString(s.Command))
	}
	f.Lowers = slices.Concat([]sandbox.Lower{jail}, t.installed.Lowers)
	f.layers = map[sandbox.Lower]string{}
	for _, l := range t.installed.Lowers {
		key := t.installed.LayerAt(l.Path)
		if l.Path == "" && l.Jail == t.installed.InJail() {
			key = t.installed.Key
		}
		if key != "" {
			f.layers[l] = key
		}
	}
	t.Bench.Failed(ctx, f)
	return nil
}

// Again is the command of a failed check for a person to type where it ran; "" where none is known.
func (f *Failed) Again() string {
	argv := f.Command.Argv
	if len(argv) > 3 && slices.Equal(argv[:3], asProgram) {
		argv = argv[3:]
	}
	words := make([]string, len(argv))
	for i, w := range argv {
		if words[i] = w; w == "" || strings.ContainsFunc(w, meansMore) {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// meansMore tells whether a character may mean more to a shell than itself.
func meansMore(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') &&
		!strings.ContainsRune("-_./:=+,@%", r)
}

// AsRoot tells whether a failed command ran as root.
func (f *Failed) AsRoot() bool { return f.Command.UID != bootstrap.BuilderUID }
