package dsc

import "testing"

// TestMetBy asks relations of packages that have a name, or provide one.
func TestMetBy(t *testing.T) {
	for _, c := range []struct {
		relation, name, version, provides string
		want                              bool
	}{
		{"a", "a", "1", "", true},
		{"a", "b", "1", "", false},
		{"a (>= 2)", "a", "1", "", false},
		{"a (>= 2)", "a", "2", "", true},
		{"a (>> 2)", "a", "2", "", false},
		{"a (>> 2)", "a", "2.1", "", true},
		{"a (<= 2)", "a", "2", "", true},
		{"a (<< 2)", "a", "2~", "", true},
		{"a (<< 2)", "a", "2", "", false},
		{"a (= 2-1)", "a", "2-1", "", true},
		{"a (= 2-1)", "a", "2-1+b1", "", false},
		{"v", "a", "1", "v", true},
		{"v (>= 2)", "a", "3", "v", false},
		{"v (>= 2)", "a", "1", "w, v (= 2)", true},
		{"v (>= 2)", "a", "3", "v (= 1)", false},
		{"a (>= 2)", "a", "1", "a (= 2)", false},
	} {
		relations, err := ParseRelations(c.relation)
		if err != nil {
			t.Fatal(err)
		}
		provides, err := ParseRelations(c.provides)
		if err != nil {
			t.Fatal(err)
		}
		version, err := ParseVersion(c.version)
		if err != nil {
			t.Fatal(err)
		}
		if got := relations[0][0].MetBy(c.name, version, provides); got != c.want {
			t.Errorf("%s by %s %s, which provides %q: %v", c.relation, c.name, c.version,
				c.provides, got)
		}
	}
}
