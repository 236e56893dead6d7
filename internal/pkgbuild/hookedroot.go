package pkgbuild

import (
	"fmt"

	"nsbuild/internal/deps"
	"nsbuild/internal/dsc"
	"nsbuild/internal/hook"
)

// noteHookedRoot identifies the root that hooks have left in the open jail: by what the hooks are,
// by what they were told, and by what they have made of it.
func (b *builder) noteHookedRoot() error {
	b.hookedRoot = deps.Hooked{Unknowable: b.o.Hooks.Unknown()}
	digest, err := b.o.Hooks.Digest(b.hookContext(), hook.BeforeLayer()...)
	if err != nil {
		return fmt.Errorf("reading the hooks: %w", err)
	}
	if digest == "" {
		return nil
	}
	parts := []string{digest}
	if len(b.o.Hooks.At(hook.BeforeDeps)) > 0 {
		parts = append(parts, sourceDigests(b.in.DSC)...) // they have seen it, and may have run it
	}
	hooked, err := deps.HookedRoot(b.open, parts...)
	if err != nil {
		b.log.Warning("No dependency layer is used over what hooks have made of the root: %v",
			err)
	}
	hooked.Unknowable = hooked.Unknowable || b.hookedRoot.Unknowable
	b.hookedRoot = hooked
	return nil
}

// sourceDigests identify the files of a source package.
func sourceDigests(s *dsc.Source) []string {
	digests := []string{s.Name, s.Version.String()}
	for _, f := range s.Files {
		digests = append(digests, fmt.Sprintf("%+v", f))
	}
	return digests
}
