// Package compat has what the command lines of other programs have in common. Each of them has a
// package below this one.
package compat

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Abbreviate has the beginning of a flag's name stand for it when it is not ambiguous, as
// with schroot and sbuild.
func Abbreviate(f *pflag.FlagSet) {
	var names []string
	f.VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if slices.Contains(names, name) {
			return pflag.NormalizedName(name)
		}
		var near []string
		for _, n := range names {
			if strings.HasPrefix(n, name) {
				near = append(near, n)
			}
		}
		if len(near) == 1 {
			name = near[0]
		}
		return pflag.NormalizedName(name)
	})
}
