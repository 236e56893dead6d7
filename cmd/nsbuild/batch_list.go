package main

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"nsbuild/internal/fault"
	"nsbuild/internal/nearest"
	"nsbuild/internal/pkgbuild"
)

// ownOption is an option of build that a line of a batch's list can have for its source alone.
type ownOption struct {
	name string
	set  func(*pkgbuild.Request, string) error
}

// ownOptions are all of them. What decides where a batch is built, or over what, is the batch's.
func ownOptions() []ownOption {
	return []ownOption{
		{"deb-build-options", func(r *pkgbuild.Request, text string) error {
			r.Options = append(slices.Clone(r.Options), words(text)...)
			return nil
		}},
		{"jobs", func(r *pkgbuild.Request, text string) (err error) {
			if r.Jobs, err = strconv.Atoi(text); err == nil && r.Jobs < 0 {
				err = fmt.Errorf("%d is negative", r.Jobs)
			}
			return err
		}},
		{"memory", func(r *pkgbuild.Request, text string) (err error) {
			r.Limits.Memory, err = parseSize("--memory", text)
			return err
		}},
		{"profiles", func(r *pkgbuild.Request, text string) error {
			r.Profiles = append(slices.Clone(r.Profiles), words(text)...)
			return nil
		}},
		{"scratch", func(r *pkgbuild.Request, text string) error {
			r.Scratch = text
			return nil
		}},
		{"silence", func(r *pkgbuild.Request, text string) (err error) {
			r.Silence, err = time.ParseDuration(text)
			return err
		}},
		{"timeout", func(r *pkgbuild.Request, text string) (err error) {
			r.Timeout, err = time.ParseDuration(text)
			return err
		}},
	}
}

// skipOption leaves a source out.
const skipOption = "skip"

// words are those of a text with commas between them.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

// withOwn makes a request what options of one source alone say.
func withOwn(r *pkgbuild.Request, options []string) error {
	for _, option := range options {
		name, value, _ := strings.Cut(strings.TrimPrefix(option, "--"), "=")
		i := slices.IndexFunc(ownOptions(), func(o ownOption) bool { return o.name == name })
		if i < 0 {
			return fmt.Errorf("%s is no option of one source", option)
		}
		if err := ownOptions()[i].set(r, value); err != nil {
			return fmt.Errorf("%s: %w", option, err)
		}
	}
	return nil
}

// readList reads the file of a batch's sources: one a line, with options of its own.
func readList(name string) (picks []pick, err error) {
	f := os.Stdin
	if name != "-" {
		if f, err = os.Open(name); err != nil {
			return nil, fault.Wrap(fault.Usage, "", fmt.Errorf("--list: %w", err))
		}
		defer f.Close()
	}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		all := strings.Fields(text)
		if len(all) == 0 {
			continue
		}
		p := pick{spec: all[0], where: fmt.Sprintf("--list %s:%d", name, n)}
		if err := p.read(all[1:]); err != nil {
			return nil, err
		}
		picks = append(picks, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fault.Wrap(fault.Usage, "", fmt.Errorf("--list %s: %w", name, err))
	}
	return picks, nil
}

// read reads the options of a line.
func (p *pick) read(options []string) error {
	if strings.HasPrefix(p.spec, "-") {
		return usage("a line is: SOURCE [--OPTION=VALUE...]", "%s%q is no source", p.at(), p.spec)
	}
	var request pkgbuild.Request
	for _, option := range options {
		name, value, has := strings.Cut(strings.TrimPrefix(option, "--"), "=")
		switch {
		case !strings.HasPrefix(option, "--"):
			return usage("write one SOURCE a line, and its options as --timeout=4h",
				"%s%q is one word too many", p.at(), option)
		case name == skipOption:
			p.skip = "left out by " + strings.TrimSuffix(p.at(), ": ")
			if value != "" {
				p.skip += ": " + value
			}
			continue
		case !slices.ContainsFunc(ownOptions(), func(o ownOption) bool { return o.name == name }):
			return unknownOption(p, name)
		case !has || value == "":
			return usage("write --"+name+"=VALUE", "%s--%s has no value", p.at(), name)
		}
		if err := withOwn(&request, []string{option}); err != nil {
			return fault.Wrap(fault.Usage, "", fmt.Errorf("%s%w", p.at(), err))
		}
		p.options = append(p.options, option)
	}
	return nil
}

func unknownOption(p *pick, name string) error {
	names := []string{skipOption}
	for _, o := range ownOptions() {
		names = append(names, o.name)
	}
	hint := "a line's options are --" + strings.Join(names, ", --")
	if like := nearest.Names(name, names, 1); len(like) > 0 {
		hint = "did you mean --" + like[0] + "?"
	}
	return usage(hint, "%s--%s is no option of one source", p.at(), cmp.Or(name, "-"))
}
