package batch

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/gonum/graph/multi"
	"gonum.org/v1/gonum/graph/topo"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
)

// Node is a source as the graph of a batch knows it.
type Node struct {
	Spec     string // what people call it
	Version  dsc.Version
	Binaries []string      // that it builds, and what these provide
	Depends  dsc.Relations // of the build, for its architecture and profiles
}

// Graph has each source come after those whose packages it is built with. A relation with
// alternatives wants its first one, as sbuild's resolver does; a version that the batch does not
// build is the archive's. Where sources need each other there is no order: that is an error which
// names them, unless cut is set, which has these take each other's packages from the archive.
func Graph(nodes []Node, cut bool) ([][]int, error) {
	builds := map[string][]int{}
	for i, n := range nodes {
		for _, name := range n.Binaries {
			builds[name] = append(builds[name], i)
		}
	}
	after := make([][]int, len(nodes))
	why := map[[2]int]string{} // the binary for which the first comes after the second
	for i, n := range nodes {
		for _, group := range n.Depends {
			for _, j := range builds[group[0].Name] {
				if i == j || !group[0].Allows(nodes[j].Version) {
					continue // who needs an earlier version of itself takes the archive's
				}
				if _, known := why[[2]int{i, j}]; !known {
					after[i] = append(after[i], j)
					why[[2]int{i, j}] = group[0].Name
				}
			}
		}
		slices.Sort(after[i])
	}
	for _, cycle := range cycles(after) {
		if !cut {
			return nil, cycleError(nodes, why, cycle)
		}
		for _, i := range cycle {
			after[i] = slices.DeleteFunc(after[i], func(j int) bool {
				return slices.Contains(cycle, j)
			})
		}
	}
	return after, nil
}

// cycles are the sets of those that need each other, each in order.
func cycles(after [][]int) (all [][]int) {
	g := multi.NewDirectedGraph()
	for i := range after {
		g.AddNode(multi.Node(i))
	}
	for i, needed := range after {
		for _, j := range needed {
			g.SetLine(g.NewLine(multi.Node(i), multi.Node(j)))
		}
	}
	for _, component := range topo.TarjanSCC(g) {
		if len(component) < 2 {
			continue
		}
		var one []int
		for _, n := range component {
			one = append(one, int(n.ID()))
		}
		slices.Sort(one)
		all = append(all, one)
	}
	slices.SortFunc(all, slices.Compare[[]int])
	return all
}

// shownOfCycle is how many needs of a cycle are named.
const shownOfCycle = 8

func cycleError(nodes []Node, why map[[2]int]string, cycle []int) error {
	var needs []string
	for _, i := range cycle {
		for _, j := range cycle {
			if name := why[[2]int{i, j}]; name != "" {
				needs = append(needs, fmt.Sprintf("%s needs %s of %s", nodes[i].Spec, name,
					nodes[j].Spec))
			}
		}
	}
	more := ""
	if n := len(needs) - shownOfCycle; n > 0 {
		needs, more = needs[:shownOfCycle], fmt.Sprintf("; and %d more", n)
	}
	return fault.New(fault.Usage, "--cycles archive takes these packages from the archive; or build "+
		"with profiles that need less (-P stage1, nocheck), or without one of them",
		"there is no order: %s%s", strings.Join(needs, "; "), more)
}
