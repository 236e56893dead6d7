package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

var (
	links    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\]\(([^)\s]+)\)`) })
	linkText = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	})
	noAnchor = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	})
)

// anchors are those of a page: one for each heading, as GitHub makes them.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	fenced := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		heading := strings.TrimLeft(line, "#")
		if fenced || heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		heading = strings.ToLower(strings.TrimSpace(linkText().ReplaceAllString(heading, "$1")))
		heading = noAnchor().ReplaceAllString(heading, "")
		found[strings.ReplaceAll(heading, " ", "-")] = true
	}
	return found
}

// TestDocsLinks follows every link from a page to a file of the tree, and to a heading in it.
func TestDocsLinks(t *testing.T) {
	for _, page := range files(t, ".md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range links().FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			name, anchor, _ := strings.Cut(m[1], "#")
			to := page
			if name != "" {
				to = filepath.Join(filepath.Dir(page), name)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %s: %v", page, m[1], err)
			} else if anchor != "" && !anchors(t, to)[anchor] {
				t.Errorf("%s: %s: no such heading", page, m[1])
			}
		}
	}
}

// TestDocsTasks counts the tasks that readers find how-tos by. Each is done in a page that
// internal/e2e/docs and howtos run.
func TestDocsTasks(t *testing.T) {
	text, err := os.ReadFile("../../docs/tasks.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "\n## ")[1:]
	if len(parts) != 3 {
		t.Fatalf("%d readers", len(parts))
	}
	for _, part := range parts {
		title, rest, _ := strings.Cut(part, "\n")
		tasks := 0
		for line := range strings.Lines(rest) {
			if strings.HasPrefix(line, "| ") && strings.Contains(line, "](howto/") {
				tasks++
			}
		}
		if tasks != 10 {
			t.Errorf("%s: %d tasks", title, tasks)
		}
	}
}
