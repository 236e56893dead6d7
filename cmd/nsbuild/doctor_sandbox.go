package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
	"nsbuild/packaging/apparmor"
)

// examinePlace names the container that this is, if it is one.
func examinePlace(p sandbox.Place) []finding {
	if !p.Contained() {
		return nil
	}
	return []finding{{fine, "place", p.Name, ""}}
}

// examineSandbox makes an outer sandbox, as every build does.
func examineSandbox(ctx context.Context, state string) []finding {
	ids, err := sandbox.ResolveIDs()
	if err != nil {
		return []finding{{missing, "user ids", err.Error(), fault.HintOf(err)},
			{note, "sandbox", "not tried: it needs the user ids", ""}}
	}
	out := []finding{{fine, "user ids", ids.String(), ""}}
	// The directory that disk scratch would use; it exists from the first base on.
	fallback := filepath.Join(state, "run")
	if _, err := os.Stat(fallback); err != nil {
		fallback = ""
	}
	h, err := sandbox.Start(ctx, sandbox.HolderSpec{IDs: ids, FallbackDir: fallback})
	if err != nil {
		return append(out, finding{missing, "sandbox", err.Error(), fault.HintOf(err)})
	}
	scratch, level := h.Scratch(), h.Level()
	notes, jailErr := examineJail(ctx, h)
	if err := errors.Join(jailErr, h.Close()); err != nil {
		return append(out, finding{missing, "sandbox", err.Error(), fault.HintOf(err)})
	}
	out = append(out, judgeLevel(level, sandbox.FindPlace()))
	for _, n := range notes {
		out = append(out, finding{note, "sandbox", n, ""})
	}
	switch scratch {
	case sandbox.ScratchTmpfs:
		return append(out, finding{fine, "overlay", "in memory", ""})
	case sandbox.ScratchDisk:
		return append(out, finding{note, "overlay", "on disk only, which is slower",
			"use Linux 6.6 or later"})
	}
	return append(out, finding{note, "overlay", "none in memory: each build may copy its base",
		"use Linux 6.6 or later"})
}

// judgeLevel says how much of a wall a sandbox is here.
func judgeLevel(level sandbox.Level, p sandbox.Place) finding {
	if level == sandbox.LevelFull {
		return finding{fine, "sandbox", "starts and ends", ""}
	}
	return finding{note, "sandbox", "starts and ends, " + sandbox.Weaker, p.WholeProc()}
}

// examineJail opens a jail over an empty root, as a build does over its base.
func examineJail(ctx context.Context, h *sandbox.Holder) (notes []string, err error) {
	dir, err := os.MkdirTemp("", "nsbuild-doctor-")
	if err != nil {
		return []string{fmt.Sprintf("a jail was not tried: %v", err)}, nil
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	root := filepath.Join(dir, "root")
	if err := h.MakeRoot(ctx, root); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.RemoveTree(context.WithoutCancel(ctx), root)) }()
	j, err := h.NewJail(ctx,
		sandbox.Spec{Root: sandbox.Root{Lowers: []sandbox.Lower{{Path: root}}}})
	if err != nil {
		return nil, err
	}
	notes = j.Notes()
	_, err = j.Close()
	return notes, err
}

// printProfile writes the AppArmor profile of this program, wherever it lies.
func (a *app) printProfile() error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	text, err := apparmor.Profile(program)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.stdout, text)
	return err
}
