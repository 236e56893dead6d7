package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
)

// kindOptions are the flags that say how packages are made of a source, under sbuild's names.
type kindOptions struct {
	buildOpts, sourceOpts []string // several options in one word
	debBuildOptions       string
}

func (k *kindOptions) addFlags(f *pflag.FlagSet, o *pkgbuild.Options) {
	f.StringVar(&o.BinNMU, "make-binNMU", "", "make a binary-only upload for this change")
	f.IntVar(&o.BinNMUVersion, "binNMU", 1, "number of the binary-only upload: N in the suffix +bN")
	f.StringVar(&o.BinNMUTimestamp, "binNMU-timestamp", "",
		"date of its changelog entry: seconds since 1970, or as date -R prints it (default: now)")
	f.StringVar(&o.BinNMUChangelog, "binNMU-changelog", "",
		"the whole changelog entry of a binary-only upload")
	f.StringVar(&o.AppendToVersion, "append-to-version", "",
		"suffix for the version of the packages, such as ~bpo12+1")
	f.BoolVar(&o.SourceOnlyChanges, "source-only-changes", false,
		"write a .changes for an upload of the source alone, too")
	f.StringArrayVar(&o.BuildOpts, "debbuildopt", nil, "option for dpkg-buildpackage")
	f.StringArrayVar(&k.buildOpts, "debbuildopts", nil,
		"options for dpkg-buildpackage, separated by spaces")
	f.StringArrayVar(&o.SourceOpts, "dpkg-source-opt", nil,
		"option for dpkg-source, when a source package is made")
	f.StringArrayVar(&k.sourceOpts, "dpkg-source-opts", nil,
		"options for dpkg-source, separated by spaces")
	f.StringVarP(&o.Maintainer, "maintainer", "m", "",
		"NAME <ADDRESS> for the .changes, and for the changelog entry of a binary-only upload")
	f.StringVarP(&o.Uploader, "uploader", "e", "",
		"NAME <ADDRESS> of who uploads, for the .changes")
	f.BoolVar(&o.Sign, "sign", false,
		"have debsign sign the results, on this machine, outside the sandbox")
	f.StringVarP(&o.KeyID, "keyid", "k", "", "key to sign the results with; implies --sign")
	f.StringVar(&k.debBuildOptions, "deb-build-options", "",
		"words of DEB_BUILD_OPTIONS, instead of the environment's")
}

// complete checks the flags against each other and fills in what follows from them.
func (k *kindOptions) complete(o *pkgbuild.Options, set *pflag.FlagSet) error {
	g := given{set}
	for _, n := range []string{"make-binNMU", "binNMU", "binNMU-timestamp", "append-to-version"} {
		if g.both("binNMU-changelog", n) {
			return fault.New(fault.Usage, "the entry itself says it",
				"--%s and --binNMU-changelog contradict each other", n)
		}
	}
	for _, n := range []string{"binNMU", "binNMU-timestamp"} { // configured, they wait for it
		if set.Changed(n) && !g.said("make-binNMU") &&
			!(n == "binNMU-timestamp" && g.said("append-to-version")) {
			return fault.New(fault.Usage, "say for what, with --make-binNMU TEXT",
				"--%s without --make-binNMU", n)
		}
	}
	for _, n := range []string{"make-binNMU", "binNMU-changelog", "append-to-version"} {
		if !g.said(n) {
			continue
		}
		if strings.TrimSpace(set.Lookup(n).Value.String()) == "" {
			return fault.New(fault.Usage, "", "%s: the text is empty", g.place(n))
		}
		if set.Lookup("arch-all").Value.String() == "true" && g.rank("arch-all") <= g.rank(n) {
			return fault.New(fault.Usage, "", "--arch-all and --%s contradict each other: a new "+
				"version of the architecture-independent packages needs a new source", n)
		}
		o.ArchAll = false
	}
	if o.BinNMUVersion < 1 {
		return fault.New(fault.Usage, "", "--binNMU %d: it is counted from 1", o.BinNMUVersion)
	}
	if err := k.completeSign(o, g); err != nil {
		return err
	}
	for _, words := range k.buildOpts {
		o.BuildOpts = append(o.BuildOpts, strings.Fields(words)...)
	}
	for _, words := range k.sourceOpts {
		o.SourceOpts = append(o.SourceOpts, strings.Fields(words)...)
	}
	words, from := os.Getenv("DEB_BUILD_OPTIONS"), "DEB_BUILD_OPTIONS"
	if g.said("deb-build-options") {
		words, from = k.debBuildOptions, g.place("deb-build-options")
	}
	var all []string
	for _, w := range strings.Fields(words) {
		if !validBuildOption(w) {
			return fault.New(fault.Usage, "words are made of small letters, digits, _ and -, "+
				"some with =VALUE: nocheck parallel=4", "%s: %q", from, w)
		}
		all = append(all, w)
	}
	if len(o.Options) > 0 { // --jobs, which is more particular
		all = slices.DeleteFunc(all, func(w string) bool {
			return strings.HasPrefix(w, "parallel=")
		})
	}
	o.Options = append(all, o.Options...)
	if p := os.Getenv("DEB_BUILD_PROFILES"); p != "" && !g.said("profiles") {
		o.Profiles = strings.Fields(p)
	}
	return o.Check()
}

// completeSign has a key imply that the results are signed, unless it is denied as near to the
// command line, or nearer.
func (k *kindOptions) completeSign(o *pkgbuild.Options, g given) error {
	unsigned := g.answered("sign") && !o.Sign
	if unsigned && g.rank("sign") == rankFlag && g.rank("keyid") == rankFlag {
		return fault.New(fault.Usage, "", "--keyid and --sign=false contradict each other")
	}
	if o.KeyID != "" && (!unsigned || g.rank("keyid") < g.rank("sign")) {
		o.Sign = true
	}
	return nil
}

// validBuildOption holds for a word of DEB_BUILD_OPTIONS (Policy 4.9.1).
func validBuildOption(w string) bool {
	name, _, _ := strings.Cut(w, "=")
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == "" &&
		name[0] >= 'a' && name[0] <= 'z'
}
