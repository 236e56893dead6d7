package aptconf

import (
	"testing"

	"nsbuild/internal/archive/suites"
)

func FuzzAptConf(f *testing.F) {
	f.Add("A::B \"c\"; D { E \"f\"; \"g\"; }; // x\n#clear A;\n/* y */")
	f.Fuzz(func(_ *testing.T, text string) {
		_ = newAptConf().parse(text) // any outcome but a panic or a hang will do
	})
}

func FuzzSources(f *testing.F) {
	f.Add("deb [arch=amd64 signed-by=/x] http://mirror.example/debian sid main # c\n")
	f.Add(
		"Types: deb\nURIs: http://mirror.example\nSuites: ./\nSigned-By:\n -----BEGIN PGP\n .\n x\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string, string, string) ([]source, error){
			parseOneLine, parseSources} {
			found, _ := parse(text, "f", "amd64") // what is understood of a broken file counts
			for _, s := range found {
				if s.suite == "" || s.uri == "" {
					t.Errorf("%+v", s)
				}
				suites.New().Distribution(s.suite)
				_ = Repo{URI: s.uri, Suite: s.suite}.SourcesLine()
			}
		}
		parseAuth(text)
	})
}
