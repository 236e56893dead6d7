package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
)

// Additions are packages and relations beyond those of the suite and the source.
type Additions struct {
	Repositories   []string // lines of sources.list(5), its deb822 paragraphs, or files with either
	RepositoryKeys []string // keyring files that may sign repositories which name none
	Packages       []string // .deb files, and directories of them
	Pins           []string // "[PACKAGE…] release|origin|version WHAT PRIORITY"
	// of the suite's own repositories; nil for those it is usually built with
	Components []string
	Include    []string // relations to be there in the build's root whatever is built

	AddDepends, AddDependsArch, AddDependsIndep       []string
	AddConflicts, AddConflictsArch, AddConflictsIndep []string
}

// relations are those that were added to the source's own.
func (a *Additions) relations(said Said) (added dsc.BuildRelations, err error) {
	for _, f := range []struct {
		flag  string
		texts []string
		to    *dsc.Relations
	}{
		{"add-depends", a.AddDepends, &added.Depends},
		{"add-depends-arch", a.AddDependsArch, &added.DependsArch},
		{"add-depends-indep", a.AddDependsIndep, &added.DependsIndep},
		{"add-conflicts", a.AddConflicts, &added.Conflicts},
		{"add-conflicts-arch", a.AddConflictsArch, &added.ConflictsArch},
		{"add-conflicts-indep", a.AddConflictsIndep, &added.ConflictsIndep},
		{"include", a.Include, &added.Depends},
	} {
		for _, text := range f.texts {
			r, err := dsc.ParseRelations(text)
			if err != nil {
				return added, fault.New(fault.Usage,
					"write it as in debian/control: foo (>= 1.2), bar [amd64] <!nocheck>",
					"%s %q: %w", said.place(f.flag), text, err)
			}
			*f.to = append(*f.to, r...)
		}
	}
	return added, nil
}

// preferences writes pins, which were said at a place, as apt_preferences(5) has them.
func preferences(pins []string, place string) (string, error) {
	var out strings.Builder
	for _, pin := range pins {
		words := strings.Fields(pin)
		bad := func(why string) (string, error) {
			return "", fault.New(fault.Usage, "write it as: 'PACKAGE… release "+
				"n=bookworm-backports 500' (apt_preferences(5)); without packages it is for all",
				"%s %q: %s", place, pin, why)
		}
		at := slices.IndexFunc(words, func(w string) bool {
			return w == "release" || w == "origin" || w == "version"
		})
		if at < 0 {
			return bad("it has none of the words release, origin and version")
		}
		if len(words) < at+3 {
			return bad("something to match and a priority must follow " + words[at])
		}
		if n, err := strconv.Atoi(words[len(words)-1]); err != nil || n == 0 || n < -32768 ||
			n > 32767 {
			return bad("the priority " + words[len(words)-1] + " is no number of apt's")
		}
		packages := strings.Join(words[:at], " ")
		if packages == "" {
			packages = "*"
		}
		fmt.Fprintf(&out, "Package: %s\nPin: %s\nPin-Priority: %s\n\n", packages,
			strings.Join(words[at:len(words)-1], " "), words[len(words)-1])
	}
	return out.String(), nil
}

// openAdditions fetches and verifies the repositories that were added, and makes one of the
// packages that were. What of that cannot be had is told before a base is made. Those of a plan
// have their time later.
func (b *builder) openAdditions(ctx context.Context) (err error) {
	if b.planned != nil {
		return nil
	}
	a := &b.o.Additions
	if b.extra.Pins, err = preferences(a.Pins, b.o.place("pin")); err != nil {
		return err
	}
	keyrings := slices.Clone(b.suite.Keyrings)
	for _, file := range a.RepositoryKeys {
		// other names are those of the suites' keyrings
		if file, err = filepath.Abs(file); err != nil {
			return err
		}
		keyrings = append(keyrings, file)
	}
	for _, text := range a.Repositories {
		repos, err := b.env.Host.ExtraRepos(text, b.arch, keyrings)
		if err != nil {
			return err
		}
		for _, r := range repos {
			if err := b.openRepository(ctx, r); err != nil {
				return err
			}
		}
	}
	if len(a.Packages) > 0 {
		b.extra.Local, err = b.env.Client.Local(ctx, apt.Extra, a.Packages)
	}
	return err
}

func (b *builder) openRepository(ctx context.Context, r aptconf.ExtraRepo) error {
	release, err := b.env.Client.Release(ctx, r.Repo)
	if err != nil {
		err = fmt.Errorf("extra repository %w", err)
		if errors.Is(err, failure.ErrNoSignature) {
			return fault.New(fault.GivenBack,
				"write [trusted=yes] into its line if you trust it all the same", "%w", err)
		}
		if errors.Is(err, failure.ErrUnknownKey) {
			return fault.New(fault.GivenBack, "name the file with its key: [signed-by=FILE] in "+
				"its line, or --extra-repository-key FILE", "%w", err)
		}
		if errors.Is(err, failure.ErrUnreachable) {
			return fault.New(fault.GivenBack,
				"check the network, the proxy and its line, or leave it out", "%w", err)
		}
		return fault.Wrap(fault.GivenBack, "check its line, or leave it out", err)
	}
	if r.Binary {
		if !r.Serves(b.arch) {
			b.env.Log.Warnf("extra repository %s is not for %s ([arch=…]), left out", r.Repo,
				b.arch)
		} else {
			b.extra.Releases = append(b.extra.Releases, release)
		}
	}
	if r.Source {
		b.extra.Sources = append(b.extra.Sources, release)
	}
	return nil
}

// chooseComponents has the suite's own repositories show other components than usual.
func (b *builder) chooseComponents(ctx context.Context) error {
	if len(b.o.Components) == 0 {
		return nil
	}
	var repos []aptconf.Repo
	for _, r := range b.releases {
		for _, c := range b.o.Components {
			if !slices.Contains(r.Components(), c) {
				return fault.New(fault.Usage, "it has "+strings.Join(r.Components(), ", "),
					"--components: %s has no component %s", r.Repo(), c)
			}
		}
		repo := r.Repo()
		repo.Components = b.o.Components
		repos = append(repos, repo)
	}
	var err error
	b.releases, err = b.env.Client.Releases(ctx, repos)
	return err
}

// describeAdditions names in the log where else packages may come from.
func (b *builder) describeAdditions() {
	for _, r := range slices.Concat(b.extra.Releases, b.extra.Sources) {
		if len(r.SignedBy()) == 0 {
			text := fmt.Sprintf("extra repository %s is used without a signature ([trusted=yes])",
				r.Repo())
			b.log.Warning("%s", text)
			b.env.Log.Warn(text)
			continue
		}
		b.log.Printf("Extra repository %s, signed by %s", r.Repo(), strings.Join(r.SignedBy(), " "))
	}
	if b.extra.Local != nil {
		for _, p := range b.extra.Local.Packages {
			b.log.Printf("Extra package %s, sha256 %s", p, p.Hashes.SHA256)
		}
	}
	if b.extra.Pins != "" {
		b.log.Printf("Preferences of apt:\n%s", b.extra.Pins)
	}
}
