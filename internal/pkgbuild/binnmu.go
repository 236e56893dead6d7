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

// Words for the date of an entry, in place of a date.
const (
	dateIncrement = "increment" // BinNMUVersion seconds after the source's own entry
	dateNow       = "now"
)

// changelogEntry is what sbuild writes above a changelog for packages with a version of their own.
// date is that of the entry.
func (k *Kind) changelogEntry(source string, version dsc.Version, distribution, arch,
	date string) (string, error) {
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
	var out strings.Builder
	fmt.Fprintf(&out, "%s (%s) %s; urgency=low, binary-only=yes\n\n", source, version, distribution)
	if k.AppendToVersion != "" {
		fmt.Fprintf(&out, "  * Append %s to version number; no source changes\n", k.AppendToVersion)
	}
	if k.BinNMU != "" {
		fmt.Fprintf(&out, "  * Binary-only non-maintainer upload for %s; no source changes.\n",
			arch)
		// on one line, as sbuild has it: it is part of the packages
		fmt.Fprintf(&out, "  * %s\n", strings.Join(strings.Split(strings.TrimSpace(k.BinNMU), "\n"),
			"    "))
	}
	fmt.Fprintf(&out, "\n -- %s  %s\n\n", maintainer, date)
	return out.String(), nil
}

// increments tells whether the date of the entry follows from the source: then equal commands make
// equal packages (sbuild from 0.91.9 on).
func (k *Kind) increments() bool {
	text := strings.TrimSpace(k.BinNMUTimestamp)
	return text == "" || text == dateIncrement
}

// entryDate is the date of the entry. last is that of the source's newest entry.
func (k *Kind) entryDate(last, now time.Time) (string, error) {
	text := strings.TrimSpace(k.BinNMUTimestamp)
	switch {
	case k.increments():
		return last.Add(time.Duration(k.BinNMUVersion) * time.Second).UTC().
			Format(dateInChangelog), nil
	case text == dateNow:
		return now.UTC().Format(dateInChangelog), nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds > 0 {
		return time.Unix(seconds, 0).UTC().Format(dateInChangelog), nil
	}
	if _, err := time.Parse("Mon, _2 Jan 2006 15:04:05 -0700", text); err != nil {
		return "", fault.New(fault.Usage, "give seconds since 1970, what date -R prints, "+
			dateIncrement+" or "+dateNow, "--binNMU-timestamp %q is no date", text)
	}
	return text, nil
}

// settledDate is the date as it is the same whenever the build is done.
func (k *Kind) settledDate(now time.Time) (string, error) {
	if k.increments() {
		return dateIncrement, nil
	}
	return k.entryDate(time.Time{}, now)
}

// lastEntry is when the newest entry of the unpacked source's changelog was written.
func (at *attempt) lastEntry(tree string) (time.Time, error) {
	const file = "debian/changelog"
	f, err := at.root.jail.Open(path.Join(tree, file))
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the changelog: %w", err)
	}
	defer f.Close()
	e, err := dsc.ParseChangelog(file, f)
	if err == nil && e.Date.IsZero() {
		err = fault.New(fault.Attempted, "say the date with --binNMU-timestamp",
			"%s: the newest entry has no date that can be read", file)
	}
	if err != nil {
		return time.Time{}, err
	}
	return e.Date, nil
}

// writeEntry puts the entry above the changelog of the unpacked source, in the jail.
func (at *attempt) writeEntry(ctx context.Context) error {
	tree := at.sourceTree()
	at.log.Subsection("Hack binNMU version")
	distribution := at.o.Suite
	if distribution == "" {
		distribution = at.suite.Name
	}
	var last time.Time
	var date string
	var err error
	if at.o.BinNMUChangelog == "" && at.o.increments() {
		if last, err = at.lastEntry(tree); err != nil {
			return err
		}
	}
	if date, err = at.o.entryDate(last, time.Now()); err != nil {
		return err
	}
	entry, err := at.o.changelogEntry(at.in.DSC.Name, at.version, distribution, at.host, date)
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
