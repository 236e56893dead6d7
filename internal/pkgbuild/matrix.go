package pkgbuild

import (
	"slices"
	"strings"

	"nsbuild/internal/fault"
)

// Matrix is what each source of a command is built for: every suite, and for each of these every
// architecture. Where one is empty, Target says it.
type Matrix struct {
	Suites []string
	Archs  []string
}

// Listed are the values of a flag that takes several, with commas between them. One value is none
// of several.
func (s *Several) Listed(flag, text string) ([]string, error) {
	if !strings.Contains(text, ",") {
		return nil, nil
	}
	var all []string
	for one := range strings.SplitSeq(text, ",") {
		one = strings.TrimSpace(one)
		switch {
		case one == "":
			return nil, fault.New(fault.Usage, "leave out the comma", "%s %s: a value is empty",
				s.place(flag), text)
		case slices.Contains(all, one):
			return nil, fault.New(fault.Usage, "name it once", "%s %s: %s is named twice",
				s.place(flag), text, one)
		}
		all = append(all, one)
	}
	return all, nil
}

// Each are the requests: one for each source, suite and architecture. What does not depend on the
// architecture is built for the first of them alone. Two suites have files of the same names, so
// each has a directory of its own.
func (s *Several) Each() (all []Request) {
	suites, archs := s.Suites, s.Archs
	if len(suites) == 0 {
		suites = []string{s.Suite}
	}
	if len(archs) == 0 {
		archs = []string{s.Arch}
	}
	for _, from := range s.Sources {
		for _, suite := range suites {
			for i, arch := range archs {
				r := s.Request
				r.From, r.Suite, r.Arch = from, suite, arch
				if len(suites) > 1 {
					r.Under = strings.ReplaceAll(suite, "/", "-")
				}
				if i > 0 {
					r.ArchAll, r.Source, r.SourceOnlyChanges = false, false, false
				}
				all = append(all, r)
			}
		}
	}
	return all
}

// Many tells whether a command asks for more than one build.
func (s *Several) Many() bool { return s.count() > 1 }

func (s *Several) count() int {
	return len(s.Sources) * max(1, len(s.Suites)) * max(1, len(s.Archs))
}

// label is what one of the builds is called on the terminal: its source, and of the rest what tells
// it from the others.
func (s *Several) label(r *Request) string {
	words := []string{shortName(r.From)}
	if len(s.Suites) > 1 {
		words = append(words, r.Suite)
	}
	if len(s.Archs) > 1 {
		words = append(words, r.Arch)
	}
	return strings.Join(words, " ")
}

// checkMatrix refuses what cannot be said for several suites or architectures.
func (s *Several) checkMatrix() error {
	if len(s.Suites) < 2 && len(s.Archs) < 2 {
		return nil
	}
	flag := "dist"
	if len(s.Suites) < 2 {
		flag = "arch"
	}
	if s.Base != "" {
		return fault.New(fault.Usage, "leave out one of them", "%s names several, and %s one base "+
			"for all", s.place(flag), s.place("base"))
	}
	for _, other := range []struct {
		flag string
		said bool
	}{{"chain", s.Chain}, {"plan", s.PlanTo != ""}, {"lock", s.LockTo != ""}} {
		if other.said {
			return fault.New(fault.Usage, "call nsbuild build once for each",
				"%s names several, and %s is for one", s.place(flag), s.place(other.flag))
		}
	}
	if len(s.Archs) > 1 && !s.ArchAny {
		return fault.New(fault.Usage, "name one architecture", "%s names several: what does not "+
			"depend on the architecture is built once", s.place("arch"))
	}
	return nil
}
