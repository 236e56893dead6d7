package pid1

import (
	"testing"

	"nsbuild/internal/sandbox/idmap"
)

func TestReplaced(t *testing.T) {
	for _, c := range []struct{ at, extents, total int }{{0, 2, 65536}, {1000, 3, 65536},
		{65535, 2, 65536}, {70000, 2, 65537}} {
		got := replaced(idmap.IDCount, c.at)
		total, own := 0, false
		for _, e := range got {
			total += e.Size
			own = own || e.ContainerID == c.at && e.HostID == idmap.CallerID
		}
		if len(got) != c.extents || total != c.total || !own {
			t.Errorf("replaced(%d): %+v", c.at, got)
		}
	}
}
