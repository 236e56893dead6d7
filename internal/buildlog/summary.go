package buildlog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const timeInFooter = "2006-01-02T15:04:05Z"

// Header is what stands at the top of a log.
type Header struct {
	Program       string // who writes the log: "nsbuild 0.1"
	Host          string // "on HOST" in the first line
	Package       string
	Version       string // "" when it is not known yet
	SourceVersion string // differs from Version for a binNMU
	Distribution  string
	MachineArch   string // of the machine
	HostArch      string // for which is built
	BuildArch     string // on which is built: the jail's
	Profiles      []string
	BuildType     string // see BuildType
	Start         time.Time
	Extra         []Field // fields of ours, after sbuild's: Isolation, Scratch, Dependency-Layer …
	ForeignArches []string
}

// Field is a line "Name: Value".
type Field struct{ Name, Value string }

// BuildType is the word for what is built, as dpkg-buildpackage --build takes it. "" when nothing
// is.
func BuildType(source, archAny, archAll bool) string {
	switch {
	case source && archAny && archAll:
		return "full"
	case source && archAny:
		return "source,any"
	case source && archAll:
		return "source,all"
	case source:
		return "source"
	case archAny && archAll:
		return "binary"
	case archAny:
		return "any"
	case archAll:
		return "all"
	}
	return ""
}

// oneLine keeps a value from ending its line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}

// Header writes the top of the log.
func (l *Log) Header(h Header) {
	l.Printf("%s on %s\n", oneLine(h.Program), oneLine(h.Host))
	title := h.Package
	if h.Version != "" {
		title += " " + h.Version
	}
	l.title(title+" ("+h.HostArch+") ", "=", h.Start)
	fields := []Field{{"Package", h.Package}, {"Version", h.Version},
		{"Source Version", h.SourceVersion}, {"Distribution", h.Distribution},
		{"Machine Architecture", h.MachineArch},
		{"Host Architecture", h.HostArch}, {"Build Architecture", h.BuildArch},
		{"Build Profiles", strings.Join(h.Profiles, " ")}, {"Build Type", h.BuildType}}
	for _, f := range append(fields, h.Extra...) {
		if f.Value != "" {
			l.Printf("%s: %s", f.Name, oneLine(f.Value))
		}
	}
	l.Printf("\n")
}

// Summary is what stands at the end of a log.
type Summary struct {
	Header           // Program, Host, Start and its Extra do not appear
	Job       string // what was asked for: the path or the name of the source
	Status    Status
	Error     string // why it was not successful; written as "E: …" before the summary
	FailStage string // of a build that was not successful
	// of the tree and the artefacts, in KiB; negative when it is not known
	Space       int64
	BuildTime   time.Duration // of dpkg-buildpackage
	InstallTime time.Duration // of the build dependencies
	PackageTime time.Duration // of everything
	Lintian     string        // "pass", "warn", "fail" …; "" when it did not run
	Piuparts    string
	Autopkgtest string
	Finished    time.Time
	Own         []Field // further fields of ours
}

// Fields are the summary's fields, sorted as sbuild sorts them: by byte value, so that "Build Type"
// stands before "Build-Space".
func (s Summary) Fields() []Field {
	space := "n/a"
	if s.Space >= 0 {
		space = strconv.FormatInt(s.Space, 10)
	}
	seconds := func(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
	all := append([]Field{
		{"Job", s.Job}, {"Package", s.Package}, {"Version", s.Version},
		{"Source-Version", s.SourceVersion}, {"Machine Architecture", s.MachineArch},
		{"Host Architecture", s.HostArch},
		{"Build Architecture", s.BuildArch}, {"Build Profiles", strings.Join(s.Profiles, " ")},
		{"Build Type", s.BuildType}, {"Foreign Architectures", strings.Join(s.ForeignArches, " ")},
		{"Distribution", s.Distribution}, {"Space", space}, {"Build-Space", space},
		{"Build-Time", seconds(s.BuildTime)}, {"Install-Time", seconds(s.InstallTime)},
		{"Package-Time", seconds(s.PackageTime)}, {"Status", string(s.Status)},
		{"Lintian", s.Lintian}, {"Piuparts", s.Piuparts}, {"Autopkgtest", s.Autopkgtest},
	}, s.Own...)
	if s.Status != Successful {
		all = append(all, Field{"Fail-Stage", s.FailStage})
	}
	all = slices.DeleteFunc(all, func(f Field) bool { return f.Value == "" })
	slices.SortStableFunc(all, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Summary writes the section Summary and the closing lines.
func (l *Log) Summary(s Summary) {
	if s.Error != "" {
		l.Error("%s", oneLine(s.Error))
	}
	l.Section("Summary")
	for _, f := range s.Fields() {
		l.Printf("%s: %s", f.Name, oneLine(f.Value))
	}
	l.Separator()
	l.Printf("Finished at %s", s.Finished.UTC().Format(timeInFooter))
	space := "no"
	if s.Space >= 0 {
		space = fmt.Sprintf("%dk", s.Space)
	}
	t := int64(s.PackageTime / time.Second)
	l.Printf("Build needed %02d:%02d:%02d, %s disk space", t/3600, t/60%60, t%60, space)
}
