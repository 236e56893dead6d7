package aptconf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// ExtraRepo is a repository that a user names besides a suite's own.
type ExtraRepo struct {
	Repo
	Binary, Source bool // whether it is one of packages (deb), of sources (deb-src)
}

// extraHint shows what a repository looks like.
const extraHint = "a line is: deb [options] URI SUITE COMPONENT…; a paragraph has Types, URIs, " +
	"Suites and Components"

// ExtraRepos reads what a user gives as a further repository: lines of sources.list(5), paragraphs
// in its deb822 style, or the name of a file with either, ending in .list or .sources. What names
// no key of its own may be signed by the keyrings, as in a system that has them in trusted.gpg.d:
// base names among the host's and the embedded keyrings, or files. arch is what $(ARCH) stands for.
func (h *Host) ExtraRepos(text, arch string, keyrings []string) ([]ExtraRepo, error) {
	origin := "--extra-repository"
	if ext := filepath.Ext(text); (ext == ".list" || ext == ".sources") &&
		!strings.ContainsAny(text, " \t\n") {
		data, err := regular.ReadFile(text, maxConfiguration)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, extraHint, err)
		}
		text, origin = string(data), text
	}
	parse := parseOneLine
	if !strings.HasPrefix(strings.TrimSpace(withoutComments(text)), "deb") {
		parse = parseSources
	}
	sources, err := parse(text, origin, arch)
	if err == nil && len(sources) == 0 {
		err = failure.Syntax("%s: it names no repository", origin)
	}
	if err != nil {
		if named := (*fileError)(nil); !errors.As(err, &named) {
			err = fmt.Errorf("%s: %w", origin, err)
		}
		return nil, fault.Wrap(fault.Usage, extraHint, err)
	}
	var out []ExtraRepo
	for _, src := range sources {
		if src.uri, err = mirrorURI(src.uri); err != nil {
			return nil, err
		}
		if err := src.options.had(src.uri + " " + src.suite); err != nil {
			return nil, err
		}
		r := ExtraRepo{
			Repo: Repo{Suite: src.suite, Components: src.components,
				Keyrings: slices.Clone(keyrings)}}
		r.Distribution, r.Security, _ = h.suites().Distribution(src.suite)
		r.apply(&Host{}, src, true) // what the user writes is not below the host's root
		r.hostKeys = false
		r.Binary, r.Source = src.binary, !src.binary
		same := func(o ExtraRepo) bool {
			return o.URI == r.URI && o.Suite == r.Suite && slices.Equal(o.Components, r.Components)
		}
		if i := slices.IndexFunc(out, same); i >= 0 {
			out[i].Binary, out[i].Source = out[i].Binary || r.Binary, out[i].Source || r.Source
			continue
		}
		if err := r.readableKeys(); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// withoutComments leaves out lines that are comments.
func withoutComments(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// readableKeys finds a key file that is not there before anything is fetched.
func (r *Repo) readableKeys() error {
	for _, k := range r.Keyrings {
		if _, err := os.Stat(k); filepath.IsAbs(k) && errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.Usage, "give a file with the key, binary or armored",
				"repository %s: the keyring %s does not exist", r, k)
		}
	}
	return nil
}

// had refuses an option of a repository that the user names, where it cannot be had.
func (o *sourceOptions) had(repo string) error {
	if o.cannot == "" {
		return nil
	}
	return fault.New(fault.Usage, "leave the option out, or the repository",
		"repository %s: option %s: %w: %s", repo, o.cannot, failure.ErrUnsupported, o.why)
}
