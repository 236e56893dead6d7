package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/deb822"
)

// sourceNames remembers where lists of sources have which: a list is read once, however many
// sources are looked for.
type sourceNames struct {
	mu    sync.Mutex // held while a list is read: others wait for it
	lists map[string]*sourceList
}

// maxSourceLists is how many lists are remembered. One of Debian takes some 4 MiB.
const maxSourceLists = 16

// sourceList is where one list has which source. The file is the cache's and named by its digest,
// so it does not change.
type sourceList struct {
	path  string
	label string
	at    map[string][]int64 // by name: where its paragraphs begin, in bytes
	names []string           // sorted
}

// sourceList reads the list of sources of a component.
func (x *Indices) sourceList(ctx context.Context, r *release.File, component string) (*sourceList,
	error) {
	path, label, err := x.sourcesFile(ctx, r, component)
	if err != nil {
		return nil, err
	}
	x.names.mu.Lock()
	defer x.names.mu.Unlock()
	if l := x.names.lists[path]; l != nil {
		return l, nil
	}
	l := &sourceList{path: path, label: label, at: map[string][]int64{}}
	if err := l.read(ctx); err != nil {
		return nil, err
	}
	if len(x.names.lists) >= maxSourceLists || x.names.lists == nil {
		x.names.lists = map[string]*sourceList{}
	}
	x.names.lists[path] = l
	return l, nil
}

// read notes where each paragraph begins. The names are on lines of their own, so that no other
// field has to be looked at.
func (l *sourceList) read(ctx context.Context) error {
	f, err := os.Open(l.path)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	defer f.Close()
	in := Scan(f)
	in.Want = func(raw []byte) bool {
		for len(raw) > 0 {
			var line []byte
			line, raw = deb822.CutLine(raw)
			if name, ok := bytes.CutPrefix(line, []byte("Package:")); ok {
				l.note(string(bytes.TrimSpace(name)), in.Offset())
				return false
			}
		}
		return true // it is looked at closely
	}
	for in.Next() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		src, err := parseSource(in)
		if err != nil {
			return failure.WithHint(fmt.Errorf("%s: %w", l.label, err))
		}
		l.note(src.Package, in.Offset())
	}
	slices.Sort(l.names)
	return failure.WithHint(wrapped(l.label, failure.Malformed(in.Err())))
}

func wrapped(label string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", label, err)
}

func (l *sourceList) note(name string, at int64) {
	if l.at[name] == nil {
		l.names = append(l.names, name)
	}
	l.at[name] = append(l.at[name], at)
}

// find reads what a list has of a name.
func (l *sourceList) find(name string, repo *aptconf.Repo, component string) (
	found []*SourcePackage, err error) {
	if len(l.at[name]) == 0 {
		return nil, nil
	}
	f, err := os.Open(l.path)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	defer f.Close()
	for _, at := range l.at[name] {
		in := Scan(io.NewSectionReader(f, at, 1<<62-at))
		if !in.Next() {
			return nil, wrapped(l.label, errors.Join(failure.Malformed(in.Err()),
				fmt.Errorf("source %s is not where it was", name)))
		}
		src, err := parseSource(in)
		if err != nil {
			return nil, failure.WithHint(fmt.Errorf("%s: Sources: %w", repo, err))
		}
		src.Repo, src.Component = repo, component
		found = append(found, src)
	}
	return found, nil
}
