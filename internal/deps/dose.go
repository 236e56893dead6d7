package deps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/fault"
	"nsbuild/internal/install"
)

// What explains why build dependencies cannot be installed, beside the resolver's own words.
const (
	ExplainerNone = "none"
	ExplainerApt  = "apt"   // as ExplainerNone: the words are apt's
	ExplainerDose = "dose3" // dose-debcheck, which names the package and the chain that leads to it
)

// explain adds to the error of a resolver what dose-debcheck finds, where that was asked for.
func (in *installation) explain(ctx context.Context, err error) error {
	if in.Explainer != ExplainerDose || !errors.Is(err, apt.ErrUnresolved) || in.cross() {
		return err
	}
	lines, failed := in.debcheck(ctx)
	if failed != nil {
		in.on.Log.Warning("dose-debcheck explains nothing: %v", failed)
	}
	if len(lines) == 0 {
		return err
	}
	return fault.Wrap(fault.KindOf(err), fault.HintOf(err),
		fmt.Errorf("%w\n  dose-debcheck: %s", err, strings.Join(lines, "\n  dose-debcheck: ")))
}

func (in *installation) debcheck(ctx context.Context) ([]string, error) {
	command := []string{"install", "dose-distcheck"}
	wanted, err := in.apt.Wanted(ctx, io.Discard, command...)
	if err != nil {
		return nil, fmt.Errorf("dose-distcheck cannot be installed in %s: %w", in.Suite, err)
	}
	if _, err := install.Wanted(ctx, in.Client, in.apt, in.out, in.sources, in.form, wanted,
		command...); err != nil {
		return nil, err
	}
	paragraph := fmt.Sprintf("Package: %s\nVersion: 0.invalid.0\nArchitecture: %s\nDepends: %s\n",
		buildroot.DummyName, in.Arch, in.Reduced.Depends)
	if len(in.Reduced.Conflicts) > 0 {
		paragraph += fmt.Sprintf("Conflicts: %s\n", in.Reduced.Conflicts)
	}
	var said bytes.Buffer
	err = in.apt.Debcheck(ctx, io.MultiWriter(in.out, &said), buildroot.DummyName, in.Arch,
		paragraph)
	in.out.Flush()
	return doseReasons(said.String()), err
}

// mostReasons is how many of dose's reasons are told. The log has all of them.
const mostReasons = 5

// doseReasons makes sentences of a report of dose-debcheck's: what is missing, or what conflicts
// with what, and the chain of dependencies that leads there.
func doseReasons(report string) (out []string) {
	var now doseReason
	end := func() {
		if text := now.String(); text != "" && len(out) < mostReasons {
			out = append(out, buildlog.VisibleString(text))
		}
		now = doseReason{}
	}
	for line := range strings.Lines(report) {
		name, value, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(
			strings.TrimSpace(line), "-")), ":")
		value = strings.TrimSpace(value)
		switch name {
		case "missing", "conflict":
			end()
			now.conflict = name == "conflict"
		case "pkg", "pkg1", "pkg2":
			now.in = "package"
		case "depchains", "depchains1", "depchain1":
			now.in = "chain"
		case "depchains2", "depchain2":
			now.in = "another chain"
		case "depchain":
			now.chains++
		case "package":
			now.take(value)
		case "version":
			if now.in == "package" && len(now.packages) > 0 {
				now.packages[len(now.packages)-1] += " " + value
			}
		case "unsat-dependency", "unsat-conflict":
			now.unmet = value
		}
	}
	end()
	return out
}

// doseReason is one reason of a report.
type doseReason struct {
	in       string // part of it
	conflict bool
	packages []string
	unmet    string
	chain    []string // of the first package
	chains   int
}

// take takes the name of a package, of the two that conflict or of a chain.
func (r *doseReason) take(name string) {
	switch r.in {
	case "package":
		r.packages = append(r.packages, name)
	case "chain":
		if r.chains < 2 && name != buildroot.DummyName {
			r.chain = append(r.chain, name)
		}
	}
}

func (r *doseReason) String() string {
	if len(r.packages) == 0 {
		return ""
	}
	name := func(s string) string {
		if strings.HasPrefix(s, buildroot.DummyName+" ") {
			return "the source"
		}
		return s
	}
	text := name(r.packages[0]) + " needs " + r.unmet + ", which there is not"
	if r.conflict {
		text = name(r.packages[0]) + " conflicts with " + name(r.packages[len(r.packages)-1])
	}
	if len(r.chain) > 0 {
		text += " (the source → " + strings.Join(r.chain, " → ") + ")"
	}
	return text
}
