package apt

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"nsbuild/internal/sandbox"
)

// Dummy is where the repository of the package that aptitude is to install seems to be in the jail.
const Dummy = "copy:" + ownDir + "/dummy"

// aptitudeOptions are those that sbuild's resolver of that name gives: never solve the problem by
// leaving out what was asked for, touch nothing essential, and take a package that is not its
// suite's default only where that is needed.
func aptitudeOptions(pkg string) []string {
	return []string{
		"-y", "--without-recommends",
		"-o", "Aptitude::ProblemResolver::StepScore=100",
		"-o", "Aptitude::ProblemResolver::SolutionCost=safety, priority, non-default-versions",
		"-o", "Aptitude::ProblemResolver::Hints::KeepDummy=reject " + pkg + " :UNINST",
		"-o", "Aptitude::ProblemResolver::Keep-All-Level=55000",
		"-o", "Aptitude::ProblemResolver::Remove-Essential-Level=maximum",
	}
}

// AptitudeWanted asks the jail's aptitude what it would install for a package. Only Name is known
// of each. What aptitude says goes to log when it fails.
func (a *Apt) AptitudeWanted(ctx context.Context, log io.Writer, pkg string) ([]Wanted, error) {
	var out bytes.Buffer
	status, err := a.jail.RunTo(ctx,
		a.aptitude(slices.Concat([]string{"-s", "-v"}, aptitudeOptions(pkg),
			[]string{"install", pkg})), &out, &out)
	if err != nil {
		return nil, fmt.Errorf("asking aptitude: %w", err)
	}
	wanted := parseInst(out.String())
	if !status.Success() || len(wanted) == 0 {
		if _, err := log.Write(out.Bytes()); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: aptitude (%s)", ErrUnresolved, status)
	}
	return wanted, nil
}

// instLine is what a simulation prints for a package to be installed: Inst NAME [OLD] (VERSION
// SUITES… [ARCH]) ….
var instLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^Inst (\S+) (?:\[\S*\] )?\((\S+) (?:.* )?\[(\S+)\]\)`)
})

func parseInst(text string) []Wanted {
	var out []Wanted
	for _, m := range instLine().FindAllStringSubmatch(text, -1) {
		name, _, _ := strings.Cut(m[1], ":")
		out = append(out, Wanted{Name: FileName(name, m[2], m[3])})
	}
	return out
}

// FileName is what apt calls a package's file in its archives directory.
func FileName(name, version, arch string) string {
	quoted := func(s, bad string) string {
		var out strings.Builder
		for _, c := range []byte(s) {
			if strings.IndexByte(bad, c) >= 0 || c == '%' {
				fmt.Fprintf(&out, "%%%02x", c)
			} else {
				out.WriteByte(c)
			}
		}
		return out.String()
	}
	return quoted(name, "_:") + "_" + quoted(version, "_:") + "_" + quoted(arch, "_:.") + ".deb"
}

// Aptitude has the jail's aptitude install a package for real.
func (a *Apt) Aptitude(ctx context.Context, log io.Writer, pkg string) (sandbox.Status, error) {
	status, err := a.jail.RunTo(ctx,
		a.aptitude(slices.Concat(aptitudeOptions(pkg), []string{"install", pkg})), log, log)
	if err != nil {
		return status, fmt.Errorf("running aptitude: %w", err)
	}
	return status, nil
}

// aptitude is told of our configuration by the environment; it knows no option for that.
func (a *Apt) aptitude(args []string) sandbox.Command {
	return sandbox.Command{Argv: slices.Concat([]string{"aptitude"}, a.options, args),
		Env: append(slices.Clone(a.env), "APT_CONFIG="+configFile)}
}
