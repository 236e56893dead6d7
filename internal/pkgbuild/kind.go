package pkgbuild

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
)

// Kind says how packages are made of a source: under which version, in whose name, with which
// options of dpkg's tools.
type Kind struct {
	// the change that a binary-only upload is made for; "" for an ordinary build
	BinNMU        string
	BinNMUVersion int // N of the suffix +bN, from 1 on; 0 without a change
	// date of its changelog entry: seconds since 1970, as date -R writes it, "now", or "increment",
	// which "" is, too
	BinNMUTimestamp string
	// a whole changelog entry, instead of the one that is made from the others
	BinNMUChangelog   string
	AppendToVersion   string
	SourceOnlyChanges bool     // write a .changes for an upload of the source alone, too
	BuildOpts         []string // for dpkg-buildpackage
	SourceOpts        []string // for dpkg-source
	// "NAME <ADDRESS>" for the .changes, and for the changelog entry of a binary-only upload
	Maintainer string
	Uploader   string // who uploads: a Changed-By for the .changes
	Sign       bool   // have debsign sign the results, on the host
	KeyID      string // key to sign with
}

// ownVersion tells whether the packages get a version that the source does not have.
func (k *Kind) ownVersion() bool {
	return k.BinNMU != "" || k.AppendToVersion != "" || k.BinNMUChangelog != ""
}

// binaryVersion is the version of the packages made from a source of version v.
func (k *Kind) binaryVersion(v dsc.Version) (dsc.Version, error) {
	switch {
	case k.BinNMUChangelog != "":
		e, err := dsc.ParseChangelog("--binNMU-changelog", strings.NewReader(k.BinNMUChangelog))
		if err == nil && e.Maintainer == "" {
			err = errors.New("the entry has no last line ( -- NAME <ADDRESS>  DATE)")
		}
		if err != nil {
			return v,
				fault.Wrap(fault.Usage,
					"give a whole entry, from its first line to the one with name and date", err)
		}
		return e.Version, nil
	case !k.ownVersion():
		return v, nil
	}
	text := v.String() + k.AppendToVersion
	if k.BinNMU != "" {
		text += fmt.Sprintf("+b%d", k.BinNMUVersion)
	}
	out, err := dsc.ParseVersion(text)
	return out,
		fault.Wrap(fault.Usage, "a suffix is made of letters, digits and the characters . + ~", err)
}

// identities are the options that name people, for dpkg-buildpackage and dpkg-genchanges.
func (k *Kind) identities() []string {
	var out []string
	if k.Maintainer != "" {
		out = append(out, "-m"+k.Maintainer)
	}
	if k.Uploader != "" {
		out = append(out, "-e"+k.Uploader)
	}
	return out
}

// kindFlag are options of dpkg-buildpackage that nsbuild must know about: they decide which
// .changes it looks for.
var kindFlags = map[string]string{
	"-b": "--arch-any and --arch-all", "-B": "--no-arch-all", "-A": "--no-arch-any",
	"-S": "--source --no-arch-any --no-arch-all", "-F": "--source", "-g": "--source --no-arch-any",
	"-G": "--source --no-arch-all", "--build": "--source, --arch-any and --arch-all",
	"-P": "--profiles", "--build-profiles": "--profiles", "-a": "--host", "--host-arch": "--host",
	"-T": "", "--target": "", "--rules-target": "", "-j": "--jobs", "-J": "--jobs",
	"--jobs": "--jobs", "--jobs-try": "--jobs", "--changes-file": "", "--buildinfo-file": "",
}

// validPerson holds for a maintainer as a .changes has it (Policy 5.6.2): NAME <ADDRESS>.
func validPerson(text string) bool {
	name, address, ok := strings.Cut(text, "<")
	address, rest, closed := strings.Cut(address, ">")
	return ok && closed && rest == "" && strings.TrimSpace(name) != "" && address != "" &&
		!strings.ContainsAny(address, " \t<") && !strings.ContainsAny(text, "\n\r")
}

// versionFlag is the flag that gives the packages a version which the source does not have; "" when
// none does.
func (k *Kind) versionFlag() string {
	switch {
	case k.BinNMU != "":
		return "make-binNMU"
	case k.BinNMUChangelog != "":
		return "binNMU-changelog"
	case k.AppendToVersion != "":
		return "append-to-version"
	}
	return ""
}

// warnProfiles names the profiles that nobody has heard of: neither the list of registered ones nor
// the source. The build goes on, as sbuild's does.
func (b *builder) warnProfiles() {
	used := b.relations().ProfileNames()
	if b.in.Tree != nil {
		used = append(used, b.in.Tree.Control.ProfileNames()...)
	} else {
		used = append(used, b.in.DSC.ProfileNames()...)
	}
	for _, p := range b.o.Profiles {
		if dsc.RegisteredProfile(p) || slices.Contains(used, p) {
			continue
		}
		text := fmt.Sprintf(
			"build profile %s: it is not a registered one, and %s has nothing for it", p,
			b.header.Package)
		b.log.Warning("%s", text)
		b.env.Log.Warn(text)
	}
}

// command is the dpkg-buildpackage of this build.
func (b *builder) command() []string {
	argv := []string{"dpkg-buildpackage"}
	if knowsSanitizeEnv(b.base.Manifest.Packages) {
		argv = append(argv, "--sanitize-env")
	}
	argv = append(append(argv, "-us", "-uc"), b.o.identities()...)
	if b.o.Source {
		for _, opt := range b.o.SourceOpts {
			argv = append(argv, "--source-option="+opt)
		}
	}
	if b.cross() {
		argv = append(argv, "-a"+b.host)
	}
	argv = append(argv, b.typeFlag())
	if b.sourceAlone() {
		argv = append(argv, "-d", "-nc")
	}
	argv = append(argv, b.o.BuildOpts...)
	if b.retried != nil {
		argv = append(argv, b.retried.options...)
	}
	return argv
}

// sourceAlone tells whether the source package is all that is made, and nothing of the source is
// run for it. A tree that was just unpacked is clean: its clean target, and what that needs, are
// left out unless dpkg-buildpackage is told to run it.
func (b *builder) sourceAlone() bool {
	return b.o.buildType() == "source" && !slices.Contains(b.o.BuildOpts, "--pre-clean")
}

func (b *builder) typeFlag() string {
	flags := map[string]string{"binary": "-b", "any": "-B", "all": "-A", "full": "-F",
		"source,any": "-G", "source,all": "-g", "source": "-S"}
	if flag, ok := flags[b.o.buildType()]; ok {
		return flag
	}
	return "--build=" + b.o.buildType()
}

// DefaultMaintainer is who the caller says he is, for the changelog entry of a binary-only upload:
// DEBFULLNAME and DEBEMAIL, as devscripts know them.
func DefaultMaintainer() string {
	name, mail := os.Getenv("DEBFULLNAME"), os.Getenv("DEBEMAIL")
	if before, rest, ok := strings.Cut(mail, "<"); ok { // DEBEMAIL may hold both
		if name == "" {
			name = strings.TrimSpace(before)
		}
		mail = strings.TrimSuffix(rest, ">")
	}
	if name == "" || mail == "" {
		return ""
	}
	return name + " <" + mail + ">"
}

// fileArch is the architecture in the names of the .changes and the log.
func (b *builder) fileArch() string {
	switch {
	case b.o.ArchAny:
		return b.host
	case b.o.ArchAll:
		return "all"
	}
	return "source"
}
