package mirrors

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
)

// faultTable collects what becomes of faults, for the page that lists it: one of its tables, which
// begins with head.
type faultTable struct {
	head string
	rows []string
}

const faultsPage = e2e.Tree + "/docs/faults.md"

const refusedHead = `# What a fault looks like

Each row has one fault of an archive or a mirror, the message and the hint of ` + "`nsbuild create`" + `, and
its exit status. ` + "`internal/fakedebian`" + ` makes these faults. No base stays behind in any of these
cases. The test ` + "`TestCreateRefuses`" + ` compares nsbuild with this page. ` + "`go test\n./internal/e2e/mirrors -run TestCreateRefuses -write-faults`" + ` writes the page anew.

| fault | message | hint | status |
| --- | --- | --- | --- |
`

const overcomeHead = `## What is overcome

nsbuild overcomes other faults of a mirror by itself. Each row has one of them, and what nsbuild
does. ` + "`TestCreateOvercomes`" + ` makes a base of a mirror that has all of these faults at once.

| fault | what is done |
| --- | --- |
`

var writeFaults = flag.Bool("write-faults", false, "write docs/faults.md anew")

// varying is what differs from run to run, and what stands for it in the page.
var varying = []struct {
	is   *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`127\.0\.0\.1:(\d{4,5})`), "mirror.example"},
	{regexp.MustCompile(`/[^ ]*/keyring\.gpg`), "/…/keyring.gpg"},
	{regexp.MustCompile(`net/http: timeout awaiting response headers`),
		"the mirror stopped sending for 200ms"},
	{regexp.MustCompile(`bookworm-updates`), "bookworm"}, // they are asked side by side
	{regexp.MustCompile(`(read|write) tcp [^ ]*->mirror\.example`), "$1 tcp mirror.example"},
	{regexp.MustCompile(`\b[0-9A-Fa-f]{32,}\b`), "…"},
	{regexp.MustCompile(`\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d UTC`), "DATE"},
	{regexp.MustCompile(`\b\d+ of \d+ bytes`), "N of M bytes"},
	{regexp.MustCompile(`\b\d+ bytes`), "N bytes"},
	{regexp.MustCompile(`index says \d+`), "index says N"},
	{regexp.MustCompile(`Packages\.(xz|gz)\b`), "Packages.xz"},
}

func (f *faultTable) add(name string, o e2e.Outcome) {
	message, hint := e2e.Told(o.Stderr)
	message = strings.TrimPrefix(strings.TrimSpace(message), "nsbuild: ")
	for _, v := range varying {
		message = v.is.ReplaceAllString(message, v.name)
	}
	cell := strings.NewReplacer("|", "\\|", "\n", " ")
	f.rows = append(f.rows, fmt.Sprintf("| %s | %s | %s | %d |\n", name, cell.Replace(message),
		cell.Replace(hint), o.Status))
}

// compare holds the page's table to what was seen. A part of the tests sees a part of the table.
func (f *faultTable) compare(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(faultsPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	start, end := strings.Index(page, f.head), len(page)
	if start < 0 {
		page += "\n"
		start, end = len(page), len(page)
	} else if i := strings.Index(page[start+len(f.head):], "\n## "); i >= 0 {
		end = start + len(f.head) + i
	}
	if *writeFaults {
		if err := os.WriteFile(faultsPage,
			[]byte(page[:start]+f.head+strings.Join(f.rows, "")+page[end:]),
			0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, row := range f.rows {
		if !strings.Contains(page[start:end], row) {
			t.Errorf("%s is not up to date (-write-faults): it lacks\n%s", faultsPage, row)
		}
	}
}
