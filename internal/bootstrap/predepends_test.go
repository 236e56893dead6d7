package bootstrap

import (
	"strings"
	"testing"

	"nsbuild/internal/archive/index"
	"nsbuild/internal/fault"
)

func TestPreDepends(t *testing.T) {
	for _, c := range []struct {
		name       string
		preDepends map[string]string // of the package a, b, c
		says, hint string
	}{
		{name: "none"},
		{name: "by name", preDepends: map[string]string{"a": "b (>= 1), c:any (<< 3)", "b": "c"}},
		{name: "virtual", preDepends: map[string]string{"a": "awk, tool (>= 2)"}},
		{name: "alternative", preDepends: map[string]string{"a": "nothing | b"}},
		{name: "not understood", preDepends: map[string]string{"a": "b (>= :), b (~ 1)"}},
		{name: "missing", preDepends: map[string]string{"b": "nothing  (>= 1)\n | void"},
			says: "package b pre-depends on nothing (>= 1) | void, which no package",
			hint: "components"},
		{name: "older", preDepends: map[string]string{"a": "b (>> 1)"},
			says: "package a pre-depends on b (>> 1)", hint: "components"},
		{name: "virtual in no version", preDepends: map[string]string{"a": "awk (>= 1)"},
			says: "package a pre-depends on awk (>= 1)", hint: "components"},
		{name: "not chosen", preDepends: map[string]string{"a": "nothing | other"},
			says: "package a pre-depends on nothing | other", hint: "--include=other"},
		{name: "on itself", preDepends: map[string]string{"a": "a"},
			says: "in a circle, so that none can be unpacked first: a → a", hint: "--mirror"},
		{name: "circle", preDepends: map[string]string{"a": "b", "b": "c", "c": "b"},
			says: ": b → c → b", hint: "--mirror"},
		{name: "circle by a virtual package", preDepends: map[string]string{"c": "a", "a": "awk"},
			says: ": a → c → a", hint: "--mirror"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pkg := func(name, provides string) *index.Package {
				return &index.Package{Package: name, Version: "1",
					Relations: index.Relations{Provides: provides,
						PreDepends: c.preDepends[name]}}
			}
			s := Selection{Required: []*index.Package{pkg("a", "")},
				Base: []*index.Package{pkg("b", ""), pkg("c", "awk, tool (= 2)")}}
			err := s.checkPreDepends("crane", universe{"other": {Package: "other", Version: "1"}})
			switch {
			case c.says == "" && err != nil, c.says != "" && err == nil:
				t.Errorf("%v, want %q", err, c.says)
			case err != nil &&
				(!strings.Contains(err.Error(), c.says) ||
					!strings.Contains(err.Error(), "suite crane") ||
					!strings.Contains(fault.HintOf(err), c.hint)):
				t.Errorf("%v; %s", err, fault.HintOf(err))
			}
		})
	}
}

func FuzzRelation(f *testing.F) {
	f.Add("libc6:any (>= 2.36)", "1:2.3-4")
	f.Add("a(<<1) | b", "")
	f.Fuzz(func(t *testing.T, text, v string) {
		r := readRelation(text)
		if strings.ContainsAny(r.name, ":(") || strings.Trim(r.operator, "<>=") != "" {
			t.Errorf("%+v", r)
		}
		r.allows(v)
		r.providedBy(v)
	})
}
