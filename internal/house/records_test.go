package house

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// recordHead is how a record of a decision begins: number, title, date, status.
var recordHead = regexp.MustCompile(
	`^# (\d+)\. (.+)\n\nDecided (\d{4}-\d{2}-\d{2}); ([^\n]+)\.\n\n`)

// TestRecords compares the index of docs/adr with the records.
func TestRecords(t *testing.T) {
	paths, err := filepath.Glob("../../docs/adr/[0-9]*.md")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	var b strings.Builder
	b.WriteString("| | decision | date | status |\n| ---: | --- | --- | --- |\n")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		head := recordHead.FindStringSubmatch(string(text))
		name := filepath.Base(path)
		if head == nil || !strings.HasPrefix(name, fmt.Sprintf("%04s-", head[1])) {
			t.Errorf("%s does not begin with its number and title, and “Decided DATE; STATUS.”",
				path)
			continue
		}
		fmt.Fprintf(&b, "| %s | [%s](%s) | %s | %s |\n", head[1], head[2], name, head[3], head[4])
	}
	repeats(t, "../../docs/adr/README.md", "records", b.String())
}
