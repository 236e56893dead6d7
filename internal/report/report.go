// Package report makes a page of builds: what became of them and why, what they did when, what they
// took of the machine, what they were made from and what they left, and their logs. A page is one
// file. It needs no network, no script and no other file, and what a package has printed is in it
// as text only, and bounded.
//
// What is on it is what results (internal/result) and logs say.
package report

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"path/filepath"
	"sync"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/result"
)

// Build is a result, and the directory that it was read from: a log that has been moved lies beside
// its result.
type Build struct {
	Result *result.Result
	Dir    string
	Brief  bool // of a long log no more is shown than of one of many builds
}

// budget is how many bytes of logs a page has at most, and each of several has at least.
const (
	budget     = 12 << 20
	largestLog = 3 << 20
	leastLog   = 64 << 10
	briefLog   = 256 << 10
)

//go:embed head.html page.html page.css batch.html
var files embed.FS

// page is the template. It is read when a page is first made: every start of the program pays for
// what its packages make before main.
var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page.html").Funcs(functions()).ParseFS(files,
		"page.html", "head.html"))
})

// Write stores the page of some builds in one step.
func Write(path string, builds []Build) error {
	text, err := Page(filepath.Dir(path), builds)
	if err == nil {
		err = atomicfile.Write(path, text, atomicfile.Options{Mode: 0o644})
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// Page is the page of some builds, for a file in a directory: to files in and below that it has
// links.
func Page(dir string, builds []Build) ([]byte, error) {
	style, err := files.ReadFile("page.css")
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	room := max(leastLog, min(largestLog, budget/max(1, len(builds))))
	//nolint:gosec // it is ours
	data := pageData{Style: template.CSS(style)}
	for i, b := range builds {
		if b.Dir, err = filepath.Abs(b.Dir); err != nil {
			return nil, err
		}
		most := room
		if b.Brief {
			most = min(room, briefLog)
		}
		data.Builds = append(data.Builds, viewOf(b, i, len(builds) > 1, dir, most))
	}
	data.Several = len(builds) > 1
	data.title()
	var out bytes.Buffer
	if err := page().Execute(&out, data); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
