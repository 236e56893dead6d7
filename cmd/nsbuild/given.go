package main

import (
	"strconv"

	"github.com/spf13/pflag"

	"nsbuild/internal/pkgbuild"
)

// originNote is the annotation of a flag whose value comes from the environment or from a file: how
// near to the command line that is, and what the place is called.
const originNote = "nsbuild origin"

// How near to the command line a value stands. Files come after the environment, the nearest first.
const (
	rankFlag = iota
	rankVariable
	rankFile
	rankDefault = 1 << 8
)

// noteOrigin marks a flag as given from elsewhere than the command line.
func noteOrigin(f *pflag.Flag, rank int, origin string) {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[originNote] = []string{strconv.Itoa(rank), origin}
}

// rankOf is how near to the command line a flag's value stands.
func rankOf(f *pflag.Flag) int {
	if note := f.Annotations[originNote]; len(note) == 2 {
		if rank, err := strconv.Atoi(note[0]); err == nil {
			return rank
		}
	}
	if f.Changed {
		return rankFlag
	}
	return rankDefault
}

// given tells what a user has said with the flags of a verb, be it on the command line, in the
// environment or in a file.
type given struct{ set *pflag.FlagSet }

// rank is that of a flag by its name.
func (g given) rank(name string) int { return rankOf(g.set.Lookup(name)) }

// answered tells whether a flag has a value from anywhere but its default.
func (g given) answered(name string) bool { return g.rank(name) < rankDefault }

// said is answered, but for a value in a file that is the default one: config show writes those,
// and what it writes is a file that says the same.
func (g given) said(name string) bool {
	f := g.set.Lookup(name)
	rank := rankOf(f)
	return rank < rankFile || rank < rankDefault && f.Value.String() != f.DefValue
}

// denied tells whether a flag was answered with false. In a file with both answers to a question,
// as config show writes it, neither counts.
func (g given) denied(name, opposite string) bool {
	f := g.set.Lookup(name)
	if !g.answered(name) || f.Value.String() != "false" {
		return false
	}
	rank := rankOf(f)
	return rank < rankFile || rank < g.rank(opposite)
}

// nearer tells whether the first of two flags is said nearer to the command line than the second.
func (g given) nearer(name, other string) bool {
	return g.said(name) && (!g.said(other) || g.rank(name) < g.rank(other))
}

// place is what a user calls the place of a flag's value.
func (g given) place(name string) string {
	if note := g.set.Lookup(name).Annotations[originNote]; len(note) == 2 {
		return note[1] + ": " + name
	}
	return "--" + name
}

// origins are the places of all that is said.
func (g given) origins() pkgbuild.Said {
	said := pkgbuild.Said{}
	g.set.VisitAll(func(f *pflag.Flag) {
		if g.said(f.Name) {
			said[f.Name] = pkgbuild.Origin{Place: g.place(f.Name), Now: rankOf(f) == rankFlag}
		}
	})
	return said
}
