package suites

import "testing"

// FuzzSuites reads tables of suites.
func FuzzSuites(f *testing.F) {
	f.Add(suiteTable)
	f.Add([]byte("Suite: a\nLike: a\nMirror: x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var tab draft
		if tab.add(data, true) != nil {
			return
		}
		suites, err := tab.suites()
		for _, s := range suites {
			if err == nil && (s.Mirror == "" || len(s.Components) == 0 || s.Distribution == "") {
				t.Errorf("%+v", s)
			}
			again := s
			if err := again.SetLayout(s.Layout()); err != nil || again.MergedUsr != s.MergedUsr ||
				again.SplitUsr != s.SplitUsr || again.IncludeRequired != s.IncludeRequired ||
				again.UsrIsMerged != s.UsrIsMerged {
				t.Errorf("%+v\n%+v, %v", s, again, err)
			}
		}
	})
}
