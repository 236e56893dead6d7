package pkgbuild

import (
	"context"
	_ "embed"
	"slices"
	"strings"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/jails"
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

// openBuildJail opens the jail that builds. It is a plain tree where that was asked for, or where
// the source is known to see an overlay that cannot be hidden.
func (at *attempt) openBuildJail(ctx context.Context) (jails.Jail, error) {
	withApt := at.o.Hooks.Installs(inBuildJail...)
	varied, err := at.variedSpec(ctx)
	if err != nil {
		return nil, err
	}
	if at.plain {
		return at.openPlain(ctx, withApt, varied)
	}
	jail, err := at.openJail(ctx, withApt, varied)
	if err != nil || jail.Plain() || at.o.Scratch != ScratchAuto || !at.seesOverlays() {
		return jail, err
	}
	name, _ := at.in.Identity()
	at.tellPlain("%s is known to see overlays, and this one cannot be hidden; "+
		"it is built in a plain copy of its tree (--scratch copy)", name)
	below := at.root.lowers
	if _, err := at.closeJail(); err != nil {
		return nil, err
	}
	at.root.lowers, at.plain = below, true // nothing has been written there
	return at.openPlain(ctx, withApt, varied)
}

func (at *attempt) openPlain(ctx context.Context, withApt bool, change specChange) (
	jails.Jail, error) {
	at.root.copied = at.root.lowers
	jail, err := at.openOver(ctx, sandbox.Root{Lowers: at.root.lowers, Plain: true}, withApt,
		change)
	at.root.whole = at.holder.Scratch() != sandbox.ScratchCopy
	at.result.Isolation.Scratch = string(sandbox.ScratchCopy)
	return jail, err
}

// seesOverlays tells whether a source is on the list, or on the user's.
func (b *builder) seesOverlays() bool {
	name, _ := b.in.Identity()
	return slices.Contains(plainSources(), name) || slices.Contains(b.o.PlainSources, name)
}

// sawOverlay tells whether an attempt that failed may succeed in a plain tree, and which line of
// its log says so: it has what programs say that look at devices, or that an overlay breaks in
// another way.
func (at *attempt) sawOverlay(ctx context.Context, err error) (line string, saw bool) {
	if at.plain || at.o.Scratch != ScratchAuto || !failedStage(err).foreign ||
		at.root.jail == nil || at.holder.Scratch() == sandbox.ScratchCopy || ctx.Err() != nil {
		return "", false
	}
	for _, c := range at.log.Explain() {
		seen := c.Kind == buildlog.KindOverlay ||
			c.Kind == buildlog.KindDevices && !at.root.jail.Plain()
		if seen && c.Line.Number > at.begun {
			return c.Line.Text, true
		}
	}
	return "", false
}

// causes are those that the log tells of a failure. Nothing is said of devices where they are as
// they should be.
func (at *attempt) causes() []buildlog.Cause {
	return slices.DeleteFunc(at.log.Explain(), func(c buildlog.Cause) bool {
		plain := at.plain || at.root.jail != nil && at.root.jail.Plain()
		return c.Kind == buildlog.KindDevices && plain || c.Kind == buildlog.KindOverlay && at.plain
	})
}

// againPlain begins an attempt in a plain tree.
func (b *builder) againPlain(ctx context.Context, seen string) (*attempt, error) {
	b.tellPlain("the build failed as over an overlay (%q); it is built again, in a plain copy of "+
		"its tree "+
		"(--scratch copy)", buildlog.VisibleString(seen))
	return b.begin(ctx, how{plain: true})
}

func (b *builder) tellPlain(format string, args ...any) {
	b.env.Log.Warnf(format, args...)
	b.log.Warning(format, args...)
}
