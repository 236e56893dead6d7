package deps

import (
	"strings"
	"testing"

	"nsbuild/internal/apt"
)

// TestAsPlanned installs what was planned, all of it, and nothing else.
func TestAsPlanned(t *testing.T) {
	wanted := []apt.Wanted{{Name: "b_2_all.deb"}, {Name: "a_1_amd64.deb"}}
	for _, c := range []struct {
		name    string
		planned []string
		differs string
	}{
		{"nothing is planned", nil, ""},
		{"the same", []string{"a_1_amd64.deb", "b_2_all.deb"}, ""},
		{"more", []string{"a_1_amd64.deb", "b_2_all.deb", "c_1_all.deb"}, "c_1_all.deb"},
		{"less", []string{"a_1_amd64.deb"}, "b_2_all.deb"},
		{"another version", []string{"a_1_amd64.deb", "b_3_all.deb"}, "b_2_all.deb"},
		{"none", []string{}, "a_1_amd64.deb"},
	} {
		in := &installation{Request: &Request{Planned: c.planned}}
		err := in.asPlanned(wanted)
		if c.differs == "" && err != nil ||
			c.differs != "" && (err == nil || !strings.Contains(err.Error(), c.differs+" differs")) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
