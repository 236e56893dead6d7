package deps

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
func (in *installation) wantedOver(ctx context.Context, resolver *apt.Apt, log io.Writer,
	sources []apt.Source, args ...string,
) ([]apt.Wanted, error) {
	if in.on.Hooked.Unknowable { // nor can it be known what apt has parsed there
		return resolver.Wanted(ctx, log, args...)
	}
	key, err := in.parsedKey(sources)
	if err != nil {
		return nil, err
	}
	if err := in.giveParsed(resolver, key); err != nil {
		in.Log.Debugf("apt parses its lists: %v", err)
	}
	wanted, err := resolver.Wanted(ctx, log, args...)
	if err != nil {
		return nil, err
	}
	if err := in.keepParsed(resolver, key); err != nil {
		in.Log.Debugf("what apt has parsed is not kept: %v", err)
	}
	return wanted, nil
}

// parsedKey is made of what apt looks at when it judges whether its cache is still true, so that
// one which is not is not even tried.
func (in *installation) parsedKey(sources []apt.Source) (string, error) {
	g := in.Base
	parts := []string{"parsed", g.Name, fmt.Sprint(g.Number), g.Manifest.Created.String(),
		apt.Config, in.on.Hooked.Key}
	for _, l := range in.layerLowers() {
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

func (in *installation) giveParsed(resolver *apt.Apt, key string) error {
	name, err := in.Client.Cache.Parsed(key)
	if name == "" || err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(resolver.SetParsed(f), f.Close())
}

func (in *installation) keepParsed(resolver *apt.Apt, key string) error {
	f, err := resolver.Parsed()
	if f == nil || err != nil {
		return err
	}
	return errors.Join(in.Client.Cache.KeepParsed(key, f), f.Close())
}
