package archive

import "testing"

// FuzzSuites reads tables of suites.
func FuzzSuites(f *testing.F) {
	f.Add(suiteTable)
	f.Add([]byte("Suite: a\nLike: a\nMirror: x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var tab table
		if tab.add(data, true) != nil {
			return
		}
		suites, err := tab.suites()
		for _, s := range suites {
			if err == nil && (s.Mirror == "" || len(s.Components) == 0 || s.Distribution == "") {
				t.Errorf("%+v", s)
			}
		}
	})
}
