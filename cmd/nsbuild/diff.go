package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/config"
	"nsbuild/internal/console"
	"nsbuild/internal/keptroot"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/treediff"
)

// diffOptions are the flags of diff.
type diffOptions struct {
	patch, stat, json bool
}

func newDiff(a *app) *cobra.Command {
	var o diffOptions
	c := &cobra.Command{
		Use:   "diff [ID] [PATH...]",
		Short: "Show what a kept build has changed",
		Long: `diff shows what a kept build has made, changed and deleted: in the unpacked source,
against the source as it is unpacked anew, and elsewhere, against the root that the build began
with. Of what was changed it says whether mode, owner, size, content, type, or the target of a link
is another.

With PATHs it shows these alone, and what is below them. A PATH is relative to the unpacked source,
or begins with a slash.
`,
		Example: "  nsbuild diff hello-7c1e\n  nsbuild diff --patch hello-7c1e debian",
		RunE: func(c *cobra.Command, args []string) error {
			if o.patch && (o.stat || o.json) || o.stat && o.json {
				return usage("leave out the others", "diff: --patch, --stat and --json contradict "+
					"each other")
			}
			return a.diff(c.Context(), args, o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.patch, "patch", false, "show the contents as a unified diff")
	f.BoolVar(&o.stat, "stat", false, "show how many there are, and what they take")
	f.BoolVar(&o.json, "json", false, "write JSON")
	return c
}

// keptAndPaths tells whether the first argument is a kept build. Where it is none, it is a path of
// the one that is meant without it.
func (a *app) keptAndPaths(args []string) (id string, paths []string, err error) {
	if len(args) > 0 {
		id, err = a.env.Kept.Find(args[0], "")
		if err == nil {
			return id, args[1:], nil
		}
		if looksLikeID(args[0]) {
			return "", nil, err
		}
	}
	id, err = findKept(a.env, "")
	return id, args, err
}

// looksLikeID tells whether somebody who wrote this has meant a kept build.
func looksLikeID(text string) bool {
	i := strings.LastIndex(text, "-")
	return i > 0 && !strings.Contains(text, "/") && len(text)-i <= 6 &&
		strings.Trim(text[i+1:], "0123456789abcdef") == ""
}

func (a *app) diff(ctx context.Context, args []string, o diffOptions) (err error) {
	env, err := a.openLocal(ctx)
	if err != nil {
		return err
	}
	id, paths, err := a.keptAndPaths(args)
	if err != nil {
		return err
	}
	from, root, err := useKept(env, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	d, err := from.Differ(ctx, root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	all, err := changesOf(ctx, d, paths)
	if err != nil {
		return err
	}
	switch {
	case o.json:
		list := diffReport{ID: id, Changes: all}
		list, list.Escaped = rawjson.Legible(list)
		return a.printJSON(list)
	case o.stat:
		a.diffStat(all)
		return nil
	case o.patch:
		to := io.Writer(a.stdout)
		if console.IsTerminal(a.stdout) {
			to = &visibleLines{to: a.stdout}
		}
		for _, c := range all {
			if err := d.Patch(ctx, c, to); err != nil {
				return err
			}
		}
		return nil
	}
	a.diffList(root, all)
	return nil
}

// visibleLines passes lines to a terminal, to which a build must not talk.
type visibleLines struct {
	to   io.Writer
	line []byte // that has no end yet
}

// longestLine is how much of a line is kept until its end comes.
const longestLine = 64 << 10

func (v *visibleLines) Write(p []byte) (int, error) {
	v.line = append(v.line, p...)
	end := bytes.LastIndexByte(v.line, '\n') + 1
	if len(v.line)-end > longestLine {
		end = len(v.line)
	}
	_, err := v.to.Write(buildlog.Visible(v.line[:end]))
	v.line = append(v.line[:0], v.line[end:]...)
	return len(p), err
}

// diffReport is what `diff --json` writes.
type diffReport struct {
	ID      string            `json:"id"`
	Changes []keptroot.Change `json:"changes"`
	Escaped []string          `json:"escaped,omitempty"` // see docs/result.md
}

// changesOf are the changes at and below paths, or all: first those in the unpacked source.
func changesOf(ctx context.Context, d *keptroot.Differ, paths []string) ([]keptroot.Change,
	error) {
	all := []keptroot.Change{}
	seen := make([]bool, len(paths))
	err := d.Changes(ctx, func(c keptroot.Change) error {
		full := "/" + c.Path
		if c.Inside {
			full = path.Join(d.Root.Where(), c.Path)
		}
		wanted := len(paths) == 0
		for i, p := range paths {
			if !path.IsAbs(p) {
				p = path.Join(d.Root.Where(), p)
			}
			p = path.Clean(p)
			if full == p || p == "/" || strings.HasPrefix(full, p+"/") ||
				c.Type == "d" && c.Change.Change != treediff.Changed && strings.HasPrefix(p, full+"/") {
				wanted, seen[i] = true, true
			}
		}
		if wanted {
			all = append(all, c)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b keptroot.Change) int {
		if a.Inside != b.Inside {
			if a.Inside {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Path, b.Path)
	})
	return all, err
}

// mark is the letter of a change.
func mark(c keptroot.Change) string {
	return map[string]string{treediff.Created: "A", treediff.Changed: "M",
		treediff.Deleted: "D"}[c.Change.Change]
}

func (a *app) diffList(r *keptroot.Root, all []keptroot.Change) {
	if len(all) == 0 {
		a.env.Log.Info("nothing differs")
		return
	}
	for i, c := range all {
		if i == 0 || c.Inside != all[i-1].Inside {
			where := "elsewhere"
			if c.Inside {
				where = "in " + r.Where()
			}
			fmt.Fprintf(a.stdout, "%s:\n", where)
		}
		name := buildlog.VisibleString(c.Name())
		if c.Type == "d" {
			name += "/"
		}
		fmt.Fprintf(a.stdout, "  %s %s%s\n", mark(c), name, details(c))
	}
}

// details says how something was changed.
func details(c keptroot.Change) string {
	var all []string
	for _, what := range c.What {
		switch what {
		case "mode":
			what += " " + c.Before.Mode + " → " + c.After.Mode
		case "owner":
			what += fmt.Sprintf(" %d:%d → %d:%d", c.Before.UID, c.Before.GID, c.After.UID,
				c.After.GID)
		case "size":
			what += " " + config.FormatSize(c.Before.Size) + " → " + config.FormatSize(c.After.Size)
			if c.Before.Size/1024 == c.After.Size/1024 {
				what = fmt.Sprintf("size %d → %d", c.Before.Size, c.After.Size)
			}
		case "target":
			what += " " + buildlog.VisibleString(c.Before.Target) + " → " +
				buildlog.VisibleString(c.After.Target)
		case "type":
			what += " " + c.Before.Type + " → " + c.After.Type
		}
		all = append(all, what)
	}
	if len(all) == 0 {
		return ""
	}
	return "  (" + strings.Join(all, ", ") + ")"
}

// diffStat tells how much differs.
func (a *app) diffStat(all []keptroot.Change) {
	for _, inside := range []bool{true, false} {
		var count [3]int
		var size int64
		for _, c := range all {
			if c.Inside != inside {
				continue
			}
			count[strings.Index("AMD", mark(c))]++
			if c.After != nil {
				size += c.After.Size
			}
			if c.Before != nil {
				size -= c.Before.Size
			}
		}
		where := "elsewhere"
		if inside {
			where = "in the unpacked source"
		}
		sign := "+"
		if size < 0 {
			sign, size = "-", -size
		}
		fmt.Fprintf(a.stdout, "%s: %d made, %d changed, %d deleted, %s%s\n", where, count[0],
			count[1], count[2], sign, config.FormatSize(size))
	}
}
