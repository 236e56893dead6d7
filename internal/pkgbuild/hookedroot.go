package pkgbuild

import (
	"fmt"

	"nsbuild/internal/deps"
	"nsbuild/internal/dsc"
	"nsbuild/internal/hook"
)

// noteHookedRoot identifies the root that hooks have left in the open jail: by what the hooks are,
// by what they were told, and by what they have made of it.
func (at *attempt) noteHookedRoot() error {
	at.root.hooked = deps.Hooked{Unknowable: at.o.Hooks.Unknown()}
	digest, err := at.o.Hooks.Digest(at.hookContext(), hook.BeforeLayer()...)
	if err != nil {
		return fmt.Errorf("reading the hooks: %w", err)
	}
	if digest == "" {
		return nil
	}
	parts := []string{digest}
	if len(at.o.Hooks.At(hook.BeforeDeps)) > 0 {
		parts = append(parts, sourceDigests(at.in.DSC)...) // they have seen it, and may have run it
	}
	hooked, err := deps.HookedRoot(at.root.open, parts...)
	if err != nil {
		at.log.Warning("No dependency layer is used over what hooks have made of the root: %v",
			err)
	}
	hooked.Unknowable = hooked.Unknowable || at.root.hooked.Unknowable
	at.root.hooked = hooked
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
