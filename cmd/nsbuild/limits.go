package main

import (
	"github.com/spf13/pflag"

	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/sandbox"
)

// limitOptions are the flags that bound what a jail uses, as they are typed.
type limitOptions struct{ memory string }

// addFlags adds them; it names what is limited.
func (o *limitOptions) addFlags(f *pflag.FlagSet, l *sandbox.Limits, it string) {
	f.StringVar(&o.memory, "memory", "", "limit the memory of "+it+
		" to `SIZE`, such as 512M or 2G; what is written to a tmpfs counts")
	f.Float64Var(&l.CPUs, "cpus", 0, "let "+it+" keep `N` processors busy, such as 2 or 0.5")
	f.IntVar(&l.PIDs, "pids", 0, "let "+it+" have `N` processes and threads")
}

// complete reads those that are no plain numbers, and refuses what no command could begin with.
func (o *limitOptions) complete(l *sandbox.Limits) (err error) {
	if l.Memory, err = parseSize("--memory", o.memory); err != nil {
		return err
	}
	return pkgbuild.CheckLimits(*l, nil)
}
