package main

import (
	"os"
	"strings"

	"github.com/spf13/pflag"

	"nsbuild/internal/pkgbuild"
)

// kindOptions are the flags that say how packages are made of a source, under sbuild's names.
type kindOptions struct {
	buildOpts, sourceOpts []string // several options in one word
	debBuildOptions       string
}

func (k *kindOptions) addFlags(f *pflag.FlagSet, o *pkgbuild.Kind) {
	f.StringVar(&o.BinNMU, "make-binNMU", "",
		"make a binary-only upload, with `TEXT` as its changelog entry")
	f.IntVar(&o.BinNMUVersion, "binNMU", 1, "number the binary-only upload: `N` in its suffix +bN")
	f.StringVar(&o.BinNMUTimestamp, "binNMU-timestamp", "", "give its changelog entry this `DATE`: "+
		"seconds since 1970, as date -R prints it, now, or increment, which is N seconds after "+
		"the source's own entry (default: increment)")
	f.StringVar(&o.BinNMUChangelog, "binNMU-changelog", "",
		"make a binary-only upload, with `ENTRY` as its whole changelog entry")
	f.StringVar(&o.AppendToVersion, "append-to-version", "",
		"append `SUFFIX` to the version of the packages, such as ~bpo12+1")
	f.BoolVar(&o.SourceOnlyChanges, "source-only-changes", false,
		"write a .changes for an upload of the source alone, too")
	f.StringArrayVar(&o.BuildOpts, "debbuildopt", nil, "give dpkg-buildpackage this `OPTION`")
	f.StringArrayVar(&k.buildOpts, "debbuildopts", nil,
		"give dpkg-buildpackage these `OPTIONS`, separated by spaces")
	f.StringArrayVar(&o.SourceOpts, "dpkg-source-opt", nil,
		"give dpkg-source this `OPTION` when it makes a source package")
	f.StringArrayVar(&k.sourceOpts, "dpkg-source-opts", nil,
		"give dpkg-source these `OPTIONS`, separated by spaces")
	f.StringVarP(&o.Maintainer, "maintainer", "m", "", "put `MAINTAINER`, as 'NAME <ADDRESS>', "+
		"into the .changes, and into the changelog entry of a binary-only upload")
	f.StringVarP(&o.Uploader, "uploader", "e", "", "put `UPLOADER`, as 'NAME <ADDRESS>', "+
		"into the .changes")
	f.BoolVar(&o.Sign, "sign", false,
		"have debsign sign the results, on this machine, outside the sandbox")
	f.StringVarP(&o.KeyID, "keyid", "k", "", "sign with this `KEY`; implies --sign")
	f.StringVar(&k.debBuildOptions, "deb-build-options", "",
		"build with these `WORDS` in DEB_BUILD_OPTIONS, instead of the environment's")
}

// complete has flags imply others, where nobody has said otherwise nearer to the command line.
func (k *kindOptions) complete(o *pkgbuild.Request, g given) {
	for _, n := range []string{"make-binNMU", "binNMU-changelog", "append-to-version"} {
		nearer := g.set.Lookup("arch-all").Value.String() == "true" &&
			g.rank("arch-all") <= g.rank(n)
		if g.said(n) && !nearer {
			o.ArchAll = false
		}
	}
	k.wait(o, g)
	unsigned := g.answered("sign") && !o.Sign
	if o.KeyID != "" && (!unsigned || g.rank("keyid") < g.rank("sign")) {
		o.Sign = true
	}
	for _, words := range k.buildOpts {
		o.BuildOpts = append(o.BuildOpts, strings.Fields(words)...)
	}
	for _, words := range k.sourceOpts {
		o.SourceOpts = append(o.SourceOpts, strings.Fields(words)...)
	}
	const flag, variable = "deb-build-options", "DEB_BUILD_OPTIONS"
	words := k.debBuildOptions
	if !g.said(flag) {
		words, o.Said[flag] = os.Getenv(variable), pkgbuild.Origin{Place: variable}
	}
	o.Options = strings.Fields(words)
}

// wait leaves out the number and the date of an entry that are configured and wait for a text.
func (k *kindOptions) wait(o *pkgbuild.Request, g given) {
	if o.BinNMU == "" && (!g.said("binNMU") ||
		o.BinNMUChangelog == "" && !g.set.Changed("binNMU")) {
		o.BinNMUVersion = 0
	}
	if o.BinNMUChangelog == "" && o.BinNMU == "" && o.AppendToVersion == "" &&
		!g.set.Changed("binNMU-timestamp") {
		o.BinNMUTimestamp = ""
	}
}
