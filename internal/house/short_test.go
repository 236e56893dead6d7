package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestShort: .ci/run runs again, without -short, the packages of which -short leaves something out:
// those below internal/e2e, and those whose tests say so themselves. So nothing that tests share
// says it for them.
func TestShort(t *testing.T) {
	says := regexp.MustCompile(`testing[.]Short[(]|RequireNetwork[(]`)
	found := 0
	for _, top := range []string{"cmd", "internal", "bench"} {
		err := filepath.WalkDir(filepath.Join("../..", top), func(p string, d fs.DirEntry,
			err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") ||
				strings.HasPrefix(p, "../../internal/e2e/") ||
				strings.HasPrefix(p, "../../internal/testenv/") {
				return err
			}
			text, err := os.ReadFile(p)
			if err != nil || !says.Match(text) {
				return err
			}
			if found++; !strings.HasSuffix(p, "_test.go") {
				t.Errorf("%s leaves out tests of others with -short: .ci/run does not see whose", p)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found == 0 {
		t.Error("nothing is left out with -short: what does .ci/run look for?")
	}
}
