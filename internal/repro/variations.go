package repro

import (
	"slices"
	"strings"
	"time"

	"nsbuild/internal/fault"
	"nsbuild/internal/nearest"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/sandbox"
)

// Variation is one thing that a build finds otherwise.
type Variation struct {
	Name string
	What string // it is, and how it is otherwise
	Off  bool   // it is left out unless it is asked for
	set  func(*pkgbuild.Vary)
}

// Variations are all that there are, in the order in which they are shown.
func Variations() []Variation {
	return []Variation{
		{Name: "host", What: "name of the machine, and its domain",
			set: func(v *pkgbuild.Vary) { v.Host, v.Domain = "varied", "varied.example" }},
		{Name: "user", What: "names of the user and the group that build",
			set: func(v *pkgbuild.Vary) { v.User, v.Group = "varied", "variedgroup" }},
		{Name: "ids", What: "numbers of the user and the group that build",
			set: func(v *pkgbuild.Vary) { v.UID, v.GID = 30142, 30143 }},
		{Name: "home", What: "HOME", set: func(v *pkgbuild.Vary) { v.Home = "/nonexistent/varied" }},
		{Name: "umask", What: "umask: 0002 instead of 0022",
			set: func(v *pkgbuild.Vary) { v.Umask = "0002" }},
		{Name: "locale", What: "LC_ALL: fr_CH.UTF-8 where the build has the package locales, else C",
			set: func(v *pkgbuild.Vary) { v.Locale = "fr_CH.UTF-8" }},
		{Name: "timezone", What: "TZ: almost 14 hours from UTC",
			set: func(v *pkgbuild.Vary) { v.Env = append(v.Env, "TZ=VRD-13:45") }},
		{Name: "searchpath", What: "PATH: one more directory",
			set: func(v *pkgbuild.Vary) {
				v.Env = append(v.Env, "PATH="+sandbox.DefaultPath+":/varied/bin")
			}},
		{Name: "environment", What: "one more variable of the environment",
			set: func(v *pkgbuild.Vary) { v.Env = append(v.Env, "NSBUILD_VARIED=varied") }},
		{Name: "cpus", What: "number of processors: one of several; of one, parallel=2",
			set: func(v *pkgbuild.Vary) { v.OneProcessor = true }},
		{Name: "order", What: "order of the names in directories",
			set: func(v *pkgbuild.Vary) { v.Dirs = 19 }},
		{Name: "kernel", What: "release of the kernel: one that begins with 2.6",
			set: func(v *pkgbuild.Vary) { v.OldKernel = true }},
		{Name: "path", What: "directory that the source is built in", Off: true,
			set: func(v *pkgbuild.Vary) { v.Dir = "/build/varied" }},
		{Name: "time", What: "the clock: more than a year ahead", Off: true,
			set: func(v *pkgbuild.Vary) {
				v.Clock = 400*24*time.Hour + 7*time.Hour + 13*time.Minute
			}},
	}
}

// names are those of variations.
func names(all []Variation) (out []string) {
	for _, v := range all {
		out = append(out, v.Name)
	}
	return out
}

// usual are the names of those that are made when none is named.
func usual() []string {
	return names(slices.DeleteFunc(Variations(), func(v Variation) bool { return v.Off }))
}

// Choose reads a list of variations: names, with commas between them. +NAME adds to what there is
// so far, -NAME leaves out. A list that begins so is about the usual ones; another names all. The
// names all and none stand for what they say.
func Choose(list string) ([]string, error) {
	known := names(Variations())
	words := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	chosen := map[string]bool{}
	if len(words) == 0 || strings.HasPrefix(words[0], "+") || strings.HasPrefix(words[0], "-") {
		for _, name := range usual() {
			chosen[name] = true
		}
	}
	for _, word := range words {
		name := strings.TrimLeft(word, "+-")
		out := strings.HasPrefix(word, "-")
		switch {
		case slices.Contains(known, name):
			chosen[name] = !out
		case name == "all", name == "none":
			for _, one := range known {
				chosen[one] = (name == "all") != out
			}
		default:
			hint := "known are " + strings.Join(known, ", ") + ", all and none"
			if near := nearest.Names(name, known, 1); len(near) > 0 {
				hint = "did you mean " + near[0] + "? " + hint
			}
			return nil, fault.New(fault.Usage, hint, "--vary: there is no variation %q", name)
		}
	}
	return slices.DeleteFunc(known, func(name string) bool { return !chosen[name] }), nil
}

// vary is what a build finds otherwise by the variations of these names.
func vary(of []string) (v pkgbuild.Vary) {
	for _, one := range Variations() {
		if slices.Contains(of, one.Name) {
			one.set(&v)
		}
	}
	return v
}
