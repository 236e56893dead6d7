package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/layer"
)

// wantedOver is Wanted over a base before anything is installed by this build. apt takes a second
// to parse its lists, and leaves what it has parsed: that is kept for the next build with the same
// lists over the same ground. It is taken out before anything is installed, so that nothing but the
// programs of the base and what hooks have made of them can have touched it.
func (b *builder) wantedOver(ctx context.Context, resolver *apt.Apt, log io.Writer,
	sources []apt.Source, args ...string,
) ([]apt.Wanted, error) {
	if b.unknowable { // nor can it be known what apt has parsed there
		return resolver.Wanted(ctx, log, args...)
	}
	e := b.env
	key, err := b.parsedKey(sources)
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

// parsedKey is made of what apt looks at when it judges whether its cache is still true, so that
// one which is not is not even tried.
func (b *builder) parsedKey(sources []apt.Source) (string, error) {
	g := b.base
	parts := []string{"parsed", g.Name, fmt.Sprint(g.Number), g.Manifest.Created.String(),
		apt.Config, b.hookedRoot}
	for _, l := range b.layerLowers() {
		// none for a jail's: what hooks have made is told by hookedRoot
		parts = append(parts, l.Path)
	}
	for _, s := range sources {
		parts = append(parts, s.Repo.SourcesLine())
		for _, l := range s.Lists {
			fi, err := os.Stat(l.Path)
			if err != nil {
				return "", err
			}
			parts = append(parts,
				strings.Join([]string{l.Name, l.Path, fmt.Sprint(fi.Size()), fi.ModTime().String()},
					" "))
		}
	}
	return layer.Key(parts...), nil
}

func (e *Env) giveParsed(resolver *apt.Apt, key string) error {
	name, err := e.Client.Cache.Parsed(key)
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
	return errors.Join(e.Client.Cache.KeepParsed(key, f), f.Close())
}
