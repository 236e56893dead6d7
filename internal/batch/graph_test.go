package batch

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/dsc"
)

// node is a source of a name, of version 2, that builds lib-NAME, provides virtual-NAME and
// build-depends on something.
func node(t *testing.T, name, depends string) Node {
	t.Helper()
	v, err := dsc.ParseVersion("2")
	if err != nil {
		t.Fatal(err)
	}
	relations, err := dsc.ParseRelations(depends)
	if err != nil {
		t.Fatal(err)
	}
	return Node{Spec: name, Version: v, Binaries: []string{"lib-" + name, "virtual-" + name},
		Depends: relations}
}

// TestGraph: a source comes after those of which it wants something that they build, in the version
// that they build.
func TestGraph(t *testing.T) {
	for name, c := range map[string]struct {
		depends string // of b, beside a
		want    []int
	}{
		"nothing":             {"gcc", nil},
		"by its name":         {"gcc, lib-a", []int{0}},
		"by what it provides": {"virtual-a", []int{0}},
		"twice":               {"lib-a, virtual-a", []int{0}},
		"in this version":     {"lib-a (>= 2), lib-a (<< 3)", []int{0}},
		"in an earlier one":   {"lib-a (<< 2)", nil},
		"in a later one":      {"lib-a (>> 2)", nil},
		"in the same one":     {"lib-a (= 2)", []int{0}},
		"the first of two":    {"lib-a | gcc", []int{0}},
		"the second of two":   {"gcc | lib-a", nil},
		"itself":              {"lib-b", nil},
	} {
		got, err := Graph([]Node{node(t, "a", ""), node(t, "b", c.depends)}, false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff([][]int{nil, c.want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestCycles: sources that need each other have no order, and are named, with what they need; those
// that need no more than the archive's packages of each other have one.
func TestCycles(t *testing.T) {
	nodes := []Node{node(t, "a", "lib-c"), node(t, "b", "lib-a"), node(t, "c", "lib-b"),
		node(t, "d", "lib-a")}
	_, err := Graph(nodes, false)
	if err == nil {
		t.Fatal("there is an order")
	}
	for _, want := range []string{"a needs lib-c of c", "b needs lib-a of a", "c needs lib-b of b"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "d needs") {
		t.Errorf("d is in no cycle: %v", err)
	}
	got, err := Graph(nodes, true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]int{{}, {}, {}, {0}}, got); diff != "" {
		t.Errorf("with the archive's packages (-want +got):\n%s", diff)
	}
}
