package pkgbuild

import (
	"context"
	_ "embed"
	"slices"
	"strings"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

//go:embed plain.txt
var plainList string

// plainSources are those that are known to see overlays; users add theirs with --plain-source.
func plainSources() (names []string) {
	for line := range strings.Lines(plainList) {
		if name := strings.TrimSpace(line); name != "" && !strings.HasPrefix(name, "#") {
			names = append(names, name)
		}
	}
	return names
}

// CheckPlain refuses what cannot be the name of a source package.
func (o *Options) CheckPlain() error {
	for _, name := range o.PlainSources {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "" {
			return fault.New(fault.Usage, "letters, digits and +-. as in debian/control",
				"--plain-source %q is no name of a source package", name)
		}
	}
	return nil
}

// openBuildJail opens the jail that builds. It is a plain tree where that was asked for, or where
// the source is known to see an overlay that cannot be hidden.
func (b *builder) openBuildJail(ctx context.Context) (*sandbox.Jail, error) {
	withApt := b.o.Hooks.Installs(inBuildJail...)
	if b.plain {
		return b.openPlain(ctx, withApt)
	}
	jail, err := b.openJail(ctx, withApt)
	if err != nil || jail.Plain || b.o.Scratch != ScratchAuto || !b.seesOverlays() {
		return jail, err
	}
	name, _ := b.in.Identity()
	b.tellPlain("%s is known to see overlays, and this one cannot be hidden; "+
		"it is built in a plain copy of its tree (--scratch copy)", name)
	below := b.lowers
	if _, err := b.closeJail(); err != nil {
		return nil, err
	}
	b.lowers, b.plain = below, true // nothing has been written there
	return b.openPlain(ctx, withApt)
}

func (b *builder) openPlain(ctx context.Context, withApt bool, mounts ...sandbox.Mount) (
	*sandbox.Jail, error) {
	jail, err := b.openOver(ctx, sandbox.Root{Lowers: b.lowers, Plain: true}, withApt, mounts...)
	b.openWhole = b.holder.Scratch() != sandbox.ScratchCopy
	b.result.Isolation.Scratch = string(sandbox.ScratchCopy)
	return jail, err
}

// seesOverlays tells whether a source is on the list, or on the user's.
func (b *builder) seesOverlays() bool {
	name, _ := b.in.Identity()
	return slices.Contains(plainSources(), name) || slices.Contains(b.o.PlainSources, name)
}

// mayBePlain tells whether a failed build may succeed in a plain tree: its log says what programs
// say that look at devices, or that an overlay breaks in another way.
func (b *builder) mayBePlain(ctx context.Context) bool {
	if b.plain || b.o.Scratch != ScratchAuto || b.outcome.Stage != buildlog.StageBuild ||
		b.jail == nil || b.holder.Scratch() == sandbox.ScratchCopy || ctx.Err() != nil {
		return false
	}
	for _, c := range b.log.Explain() {
		seen := c.Kind == buildlog.KindOverlay || c.Kind == buildlog.KindDevices && !b.jail.Plain
		if seen && c.Line.Number > b.attempt {
			b.seen = c.Line.Text
			return true
		}
	}
	return false
}

// causes are those that the log tells of a failure. Nothing is said of devices where they are as
// they should be.
func (b *builder) causes() []buildlog.Cause {
	return slices.DeleteFunc(b.log.Explain(), func(c buildlog.Cause) bool {
		plain := b.plain || b.jail != nil && b.jail.Plain
		return c.Kind == buildlog.KindDevices && plain || c.Kind == buildlog.KindOverlay && b.plain
	})
}

// againPlain makes everything ready for the stages to run once more, in a plain tree.
func (b *builder) againPlain(ctx context.Context) error {
	b.tellPlain("the build failed as over an overlay (%q); it is built again, in a plain copy of "+
		"its tree "+
		"(--scratch copy)", buildlog.VisibleString(b.seen))
	b.dropAttempt(ctx)
	b.plain = true
	return b.hold(ctx, (*builder).chooseScratch)
}

func (b *builder) tellPlain(format string, args ...any) {
	b.env.Log.Warnf(format, args...)
	b.log.Warning(format, args...)
}
