package kept

import (
	"regexp"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestLimitsInTime ends builds that hang, says what hung, and keeps them. They wait beside each
// other.
func TestLimitsInTime(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	for name, c := range map[string]struct {
		rules string
		args  []string
		says  string
	}{
		"silence": {"\techo before; sleep 10d\n", []string{"--silence", "2s"},
			"the build has written nothing to its log for --silence 2s"},
		"timeout": {"\twhile :; do printf .; sleep 0.2; done\n",
			[]string{"--timeout", "10s", "--silence", "5s"},
			"the build has taken longer than --timeout 10s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := *w
			w.Dir = t.TempDir()
			dsc := w.WriteSource(t, fakedebian.Source{Name: "hangs", Version: "1.0",
				Packages: []fakedebian.Package{{Name: "hangs", Architecture: "any"}},
				Rules:    e2e.BadRules(c.rules)})
			o := w.Run(t, append([]string{"build", "-q", "-d", "bookworm", dsc}, c.args...)...)
			if o.Status != 2 {
				t.Error(o)
			}
			e2e.WantIn(t, "what is said", o.Stderr, "^nsbuild: "+regexp.QuoteMeta(c.says)+"$")
			log := w.LogOf(t, "hangs")
			e2e.WantIn(t, "the log", log, "^E: "+regexp.QuoteMeta(c.says)+"$", "^Status: attempted$",
				`^ +\d+ sleeping, .* waits in .*: .*debian/rules clean$`, `^ +\d+ .*sleep (10d|0\.2)`)
			one := id(t, o)
			e2e.WantIn(t, "the list", w.Must(t, "kept").Stdout, one+".*"+regexp.QuoteMeta(c.says))
			w.Must(t, "forget", one)
		})
	}
	for _, bad := range [][]string{{"--timeout", "-1s"}, {"--silence", "1ms"},
		{"--timeout", "long"}} {
		if o := w.Run(t, append([]string{"build", "hangs_1.0.dsc"}, bad...)...); o.Status != 64 {
			t.Errorf("%q: %s", bad, o)
		}
	}
}
