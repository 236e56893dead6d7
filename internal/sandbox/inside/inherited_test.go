package inside

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestLimit sets what a hard limit permits, and raises none.
func TestLimit(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &before); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &before); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct{ soft, hard, cur, most uint64 }{
		{0, unix.RLIM_INFINITY, 0, before.Max},
		{unix.RLIM_INFINITY, unix.RLIM_INFINITY, before.Max, before.Max},
	} {
		if err := limit(unix.RLIMIT_CORE, "CORE", c.soft, c.hard); err != nil {
			t.Fatal(err)
		}
		var l unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_CORE, &l); err != nil {
			t.Fatal(err)
		}
		if l.Cur != c.cur || l.Max != c.most {
			t.Errorf("%d of %d became %d of %d", c.soft, c.hard, l.Cur, l.Max)
		}
	}
}
