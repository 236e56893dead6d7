package pkgbuild

import (
	"context"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
)

// dateInChangelog is date -R's format (Policy 4.4).
const dateInChangelog = "Mon, 02 Jan 2006 15:04:05 -0700"

// changelogEntry is what sbuild writes above a changelog for packages with a version of their own.
func (k *Kind) changelogEntry(source string, version dsc.Version, distribution, arch string,
	now time.Time) (string, error) {
	if k.BinNMUChangelog != "" {
		return strings.TrimSpace(k.BinNMUChangelog) + "\n\n", nil
	}
	maintainer := k.Maintainer
	if maintainer == "" {
		maintainer = DefaultMaintainer()
	}
	if maintainer == "" {
		return "",
			fault.New(fault.Usage,
				"give --maintainer 'NAME <ADDRESS>', or set DEBFULLNAME and DEBEMAIL",
				"--%s: nobody is named for the changelog entry", k.versionFlag())
	}
	date, err := k.entryDate(now)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s (%s) %s; urgency=low, binary-only=yes\n\n", source, version, distribution)
	if k.AppendToVersion != "" {
		fmt.Fprintf(&out, "  * Append %s to version number; no source changes\n", k.AppendToVersion)
	}
	if k.BinNMU != "" {
		fmt.Fprintf(&out, "  * Binary-only non-maintainer upload for %s; no source changes.\n",
			arch)
		fmt.Fprintf(&out, "  * %s\n", strings.Join(strings.Split(strings.TrimSpace(k.BinNMU), "\n"),
			"\n    "))
	}
	fmt.Fprintf(&out, "\n -- %s  %s\n\n", maintainer, date)
	return out.String(), nil
}

// entryDate is the date of the entry.
func (k *Kind) entryDate(now time.Time) (string, error) {
	text := strings.TrimSpace(k.BinNMUTimestamp)
	if text == "" {
		return now.UTC().Format(dateInChangelog), nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds > 0 {
		return time.Unix(seconds, 0).UTC().Format(dateInChangelog), nil
	}
	if _, err := time.Parse("Mon, _2 Jan 2006 15:04:05 -0700", text); err != nil {
		return "", fault.New(fault.Usage, "give seconds since 1970, or what date -R prints",
			"--binNMU-timestamp %q is no date", text)
	}
	return text, nil
}

// writeEntry puts the entry above the changelog of the unpacked source, in the jail.
func (at *attempt) writeEntry(ctx context.Context) error {
	tree := at.sourceTree()
	at.log.Subsection("Hack binNMU version")
	distribution := at.o.Suite
	if distribution == "" {
		distribution = at.suite.Name
	}
	entry, err := at.o.changelogEntry(at.in.DSC.Name, at.version, distribution, at.host, time.Now())
	if err != nil {
		return err
	}
	file := path.Join(path.Dir(tree), ".changelog-entry")
	if err := buildroot.Fill(at.root.jail, file, 0, func(w io.Writer) error {
		_, err := io.WriteString(w, entry)
		return err
	}); err != nil {
		return err
	}
	const script = `cat "$1" debian/changelog >"$1.whole" && cat "$1.whole" >debian/changelog ` +
		`&& rm "$1" "$1.whole"`
	status, err := at.worker().Run(ctx, at.worker().Command(tree, "sh", "-c", script, "sh", file))
	if err == nil && !status.Success() {
		err = fmt.Errorf("writing the changelog entry: %s", status)
	}
	if err != nil {
		return err
	}
	at.log.Printf("Created changelog entry for binNMU version %s", at.version)
	return nil
}
