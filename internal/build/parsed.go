package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/base"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
)

// wantedOver is Wanted over a base before anything is installed by this build. apt takes a second to parse its lists, and leaves what it has parsed: that is kept for the next build with the same
// lists over the same base. It is taken out before anything is installed, so that nothing but the base's own programs can have touched it.
func (e *Env) wantedOver(ctx context.Context, g *base.Generation, lowers []sandbox.Lower, resolver *apt.Apt, log io.Writer, sources []apt.Source, args ...string) ([]apt.Wanted, error) {
	key, err := parsedKey(g, lowers, sources)
	if err != nil {
		return nil, err
	}
	if err := e.giveParsed(resolver, key); err != nil {
		e.Log.Debugf("apt parses its lists: %v", err)
	}
	wanted, err := resolver.Wanted(ctx, log, args...)
	if err != nil {
		return nil, err
	}
	if err := e.keepParsed(resolver, key); err != nil {
		e.Log.Debugf("what apt has parsed is not kept: %v", err)
	}
	return wanted, nil
}

// parsedKey is made of what apt looks at when it judges whether its cache is still true, so that one which is not is not even tried.
func parsedKey(g *base.Generation, lowers []sandbox.Lower, sources []apt.Source) (string, error) {
	parts := []string{"parsed", g.Name, fmt.Sprint(g.Number), g.Manifest.Created.String(), apt.Config}
	for _, l := range lowers {
		parts = append(parts, l.Path) // none for a source directory's: apt sees nothing of it
	}
	for _, s := range sources {
		parts = append(parts, s.Repo.SourcesLine())
		for _, l := range s.Lists {
			fi, err := os.Stat(l.Path)
			if err != nil {
				return "", err
			}
			parts = append(parts, strings.Join([]string{l.Name, l.Path, fmt.Sprint(fi.Size()), fi.ModTime().String()}, " "))
		}
	}
	return layer.Key(parts...), nil
}

func (e *Env) giveParsed(resolver *apt.Apt, key string) error {
	name, err := e.Client.Parsed(key)
	if name == "" || err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(resolver.SetParsed(f), f.Close())
}

func (e *Env) keepParsed(resolver *apt.Apt, key string) error {
	f, err := resolver.Parsed()
	if f == nil || err != nil {
		return err
	}
	return errors.Join(e.Client.KeepParsed(key, f), f.Close())
}
