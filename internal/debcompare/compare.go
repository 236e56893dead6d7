// Package debcompare says what differs between binary packages, and between sets of them: for a
// person who is about to upload, and for one who wonders why a package came out otherwise.
//
// It reads packages and runs nothing of them. What is read is bounded: packages are what others
// have made. Which of two sets is right is left to whoever asked.
package debcompare

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"

	"nsbuild/internal/compared"
	"nsbuild/internal/deb"
	"nsbuild/internal/dsc"
)

// maxDiff bounds the texts that are compared line by line, and what is shown of it, in bytes.
const maxDiff = 256 << 10

// Debs compares two packages. Where they are the same bytes, nothing differs.
func Debs(ctx context.Context, was, is string) ([]compared.Difference, error) {
	if same, err := SameBytes(was, is); same || err != nil {
		return nil, err
	}
	a, err := read(ctx, was)
	if err != nil {
		return nil, err
	}
	b, err := read(ctx, is)
	if err != nil {
		return nil, err
	}
	return differences(ctx, a, b)
}

// Explain says in what two builds of a package differ, or why that cannot be said.
func Explain(ctx context.Context, was, is string) (all []compared.Difference, note string,
	err error) {
	if all, err = Debs(ctx, was, is); err == nil {
		return all, "", nil
	}
	if ctx.Err() != nil {
		return nil, "", context.Cause(ctx)
	}
	return nil, "it cannot be compared: " + err.Error(), nil
}

// differences are those of packages that are not the same bytes.
func differences(ctx context.Context, a, b *contents) ([]compared.Difference, error) {
	all := control(a, b)
	inData, err := data(ctx, a, b)
	if err != nil {
		return nil, err
	}
	all = append(all, inData...)
	if !slices.Equal(a.members, b.members) {
		all = append(all, compared.Difference{In: compared.InPackage, What: "members",
			Kind: KindCompression,
			Was:  strings.Join(a.members, " "), Is: strings.Join(b.members, " ")})
	}
	if len(all) == 0 {
		all = append(all, compared.Difference{In: compared.InPackage, What: "packing",
			Kind: KindCompression})
	}
	return all, nil
}

// SameBytes tells whether two files are the same, byte by byte.
func SameBytes(a, b string) (bool, error) {
	f, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer f.Close()
	g, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer g.Close()
	x, y := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(f, x)
		m, err2 := io.ReadFull(g, y)
		if n != m || !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		if err != nil || err2 != nil {
			return n < len(x), nil // the end of both
		}
	}
}

// control compares the control members.
func control(a, b *contents) (all []compared.Difference) {
	files := func(c *contents) map[string]deb.ControlFile {
		m := map[string]deb.ControlFile{}
		for _, f := range c.control {
			m[f.Name] = f
		}
		return m
	}
	x, y := files(a), files(b)
	for _, name := range union(x, y) {
		f, was := x[name]
		g, is := y[name]
		d := compared.Difference{In: compared.InControl, Path: name}
		switch {
		case !is:
			d.What = "removed"
			if compared.IsScript(name) {
				d.Diff = unified(name, f.Body, nil)
			}
		case !was:
			d.What = "added"
			if compared.IsScript(name) {
				d.Diff = unified(name, nil, g.Body)
			}
		case name == "control":
			all = append(all, compareFields(f.Body, g.Body)...)
			continue
		case name == "md5sums" && !bytes.Equal(f.Body, g.Body):
			continue // it says what data.tar has
		case !bytes.Equal(f.Body, g.Body):
			d.What, d.Kind = "content", kindOf(name, f.Body, g.Body)
			d.Diff = unified(name, f.Body, g.Body)
		case f.Mode != g.Mode:
			d.What, d.Was, d.Is = "mode", fmt.Sprintf("%04o", f.Mode), fmt.Sprintf("%04o", g.Mode)
		case !f.ModTime.Equal(g.ModTime):
			d.What, d.Kind, d.Was, d.Is = "time", KindTime, stamp(f.ModTime), stamp(g.ModTime)
		default:
			continue
		}
		all = append(all, d)
	}
	return all
}

func union[V any](a, b map[string]V) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// unified is a diff of two texts, within bounds; "" of what is none.
func unified(name string, a, b []byte) string {
	if len(a) > maxDiff || len(b) > maxDiff || bytes.IndexByte(a, 0) >= 0 ||
		bytes.IndexByte(b, 0) >= 0 {
		return ""
	}
	name = strings.TrimPrefix(name, "/")
	text := diff.Diff("a/"+name, a, "b/"+name, b)
	if len(text) > maxDiff {
		text = append(text[:maxDiff], "…\n"...)
	}
	return string(text)
}

// unpackedDiff is the diff of two texts that may be packed by gzip.
func unpackedDiff(name string, a, b []byte) string {
	if gzipped(a) && gzipped(b) {
		x, err := gunzip(a)
		y, err2 := gunzip(b)
		if err != nil || err2 != nil {
			return ""
		}
		a, b = x, y
	}
	return unified(name, a, b)
}

// compareFields compares the control files themselves.
func compareFields(was, is []byte) (all []compared.Difference) {
	a, b := fields(was), fields(is)
	names := map[string]bool{}
	for _, f := range slices.Concat(a, b) {
		if names[f.name] {
			continue
		}
		names[f.name] = true
		x, y := get(a, f.name), get(b, f.name)
		if x == y {
			continue
		}
		d := compared.Difference{In: compared.InControl, Path: f.name, What: "field", Was: x, Is: y}
		if gained, lost, ok := relations(x, y); ok && isRelation(f.name) {
			d.Was, d.Is = strings.Join(lost, ", "), strings.Join(gained, ", ")
			if d.Was == "" && d.Is == "" {
				d.Kind = KindOrder
			}
		}
		all = append(all, d)
	}
	return all
}

// isRelation tells whether a field names other packages.
func isRelation(name string) bool {
	switch name {
	case "Depends", "Pre-Depends", "Recommends", "Suggests", "Enhances", "Conflicts", "Breaks",
		"Replaces", "Provides", "Built-Using", "Static-Built-Using":
		return true
	}
	return false
}

// relations are those that only one of two fields has.
func relations(was, is string) (gained, lost []string, ok bool) {
	parse := func(text string) (map[string]bool, bool) {
		parsed, err := dsc.ParseRelations(text)
		m := map[string]bool{}
		for _, r := range parsed {
			m[dsc.Relations{r}.String()] = true
		}
		return m, err == nil
	}
	a, good := parse(was)
	b, good2 := parse(is)
	for _, name := range union(a, b) {
		switch {
		case !a[name]:
			gained = append(gained, name)
		case !b[name]:
			lost = append(lost, name)
		}
	}
	return gained, lost, good && good2
}

// data compares the data members.
func data(ctx context.Context, a, b *contents) ([]compared.Difference, error) {
	var all []compared.Difference
	differ := map[string]bool{}
	for _, name := range union(a.entries, b.entries) {
		x, was := a.entries[name]
		y, is := b.entries[name]
		d := compared.Difference{In: compared.InData, Path: name}
		switch {
		case !is:
			d.What, d.Directory = "removed", x.kind == tar.TypeDir
		case !was:
			d.What, d.Directory = "added", y.kind == tar.TypeDir
		default:
			all = append(all, attributes(d, x, y)...)
			if x.kind == y.kind && x.sum != y.sum {
				differ[name] = true
			}
			continue
		}
		all = append(all, d)
	}
	if len(differ) > 0 {
		x, err := load(ctx, a.file, differ)
		if err != nil {
			return nil, err
		}
		y, err := load(ctx, b.file, differ)
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(differ)) {
			d := compared.Difference{In: compared.InData, Path: name, What: "content",
				Kind: KindOther}
			p, ok := x[name]
			q, ok2 := y[name]
			if ok && ok2 {
				d.Kind, d.Diff = kindOf(name, p, q), unpackedDiff(name, p, q)
			}
			if s, t := a.entries[name].size, b.entries[name].size; s != t {
				d.Was, d.Is = fmt.Sprintf("%d bytes", s), fmt.Sprintf("%d bytes", t)
			}
			all = append(all, d)
		}
	}
	if d, is := order(a, b); is {
		all = append(all, d)
	}
	return all, nil
}

// attributes compares what a name has besides its content.
func attributes(d compared.Difference, x, y entry) (all []compared.Difference) {
	for _, c := range []struct{ what, kind, was, is string }{
		{"type", "", typeName(x.kind), typeName(y.kind)},
		{"mode", "", fmt.Sprintf("%04o", x.mode), fmt.Sprintf("%04o", y.mode)},
		{"owner", "", x.owner + ":" + x.group, y.owner + ":" + y.group},
		{"time", KindTime, stamp(x.time), stamp(y.time)},
		{"target", "", x.target, y.target},
	} {
		if c.was != c.is {
			d.What, d.Kind, d.Was, d.Is = c.what, c.kind, c.was, c.is
			all = append(all, d)
		}
	}
	return all
}

// typeName is what a kind of files in a tar is called.
func typeName(kind byte) string {
	switch kind {
	case tar.TypeReg:
		return "file"
	case tar.TypeDir:
		return "directory"
	case tar.TypeSymlink:
		return "symbolic link"
	case tar.TypeLink:
		return "hard link"
	case tar.TypeChar:
		return "character device"
	case tar.TypeBlock:
		return "block device"
	case tar.TypeFifo:
		return "FIFO"
	}
	return fmt.Sprintf("type %q", kind)
}

// order compares in which order the names stand that both have.
func order(a, b *contents) (compared.Difference, bool) {
	both := func(c, other *contents) (names []string) {
		for _, n := range c.order {
			if _, ok := other.entries[n]; ok {
				names = append(names, n)
			}
		}
		return names
	}
	x, y := both(a, b), both(b, a)
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return compared.Difference{In: compared.InData, What: "order", Kind: KindOrder,
				Was: x[i], Is: y[i]}, true
		}
	}
	return compared.Difference{}, false
}
