// Package annotate tells services that run builds (CI) what they show in their own way: errors at
// places in files, and parts of a log that are folded. What a package has printed is data there and
// never a command; what keeps a package from printing commands is internal/buildlog's Visible.
package annotate

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"nsbuild/internal/buildlog"
)

// Service is a service whose pages show what is printed.
type Service string

// The services. Auto is the one in which the process runs.
const (
	Auto   Service = "auto"
	None   Service = "none"
	GitHub Service = "github"
	GitLab Service = "gitlab"
)

// Detect is the service that a process runs in, as its environment says.
func Detect(getenv func(string) string) Service {
	switch {
	case set(getenv("GITHUB_ACTIONS")):
		return GitHub
	case set(getenv("GITLAB_CI")):
		return GitLab
	}
	return None
}

func set(value string) bool { return value != "" && value != "false" && value != "0" }

// Begin begins a part of the output that is folded; id tells it from others.
func (s Service) Begin(id int, name string) string {
	name = buildlog.VisibleString(name)
	switch s {
	case GitHub:
		return "::group::" + data(name) + "\n"
	case GitLab:
		return fmt.Sprintf("\x1b[0Ksection_start:%d:nsbuild_%d[collapsed=true]\r\x1b[0K%s\n",
			time.Now().Unix(), id, name)
	}
	return ""
}

// End ends it.
func (s Service) End(id int) string {
	switch s {
	case GitHub:
		return "::endgroup::\n"
	case GitLab:
		return fmt.Sprintf("\x1b[0Ksection_end:%d:nsbuild_%d\r\x1b[0K\n", time.Now().Unix(), id)
	}
	return ""
}

// Note is something that a page shows, at a place or for the whole build.
type Note struct {
	Warning      bool // it is no error
	Title        string
	File         string // relative to the top of what the service has checked out; "": none
	Line, Column int    // 0: none
	Text         string
}

// Show is a note as a line that the service reads; "" where it knows none.
func (s Service) Show(n Note) string {
	if s != GitHub {
		return ""
	}
	var properties []string
	add := func(name, value string) {
		if value != "" && value != "0" {
			properties = append(properties, name+"="+property(buildlog.VisibleString(value)))
		}
	}
	add("file", n.File)
	if n.File != "" {
		add("line", fmt.Sprint(n.Line))
		add("col", fmt.Sprint(n.Column))
	}
	add("title", n.Title)
	command := "error"
	if n.Warning {
		command = "warning"
	}
	if len(properties) > 0 {
		command += " "
	}
	return "::" + command + strings.Join(properties, ",") + "::" +
		data(buildlog.VisibleString(n.Text)) + "\n"
}

// data is a text as it stands after a command of GitHub's, and property one within it.
func data(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text)
}

func property(text string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(data(text))
}

// Source is a source directory that was built.
type Source struct {
	Dir string // "": it was none
	Top string // of what the service has checked out; "": not known
}

// File is a file of the source directory, as a tool called it that was in dir in the build; "" when
// there is none.
func (s Source) File(file, dir string) string {
	if s.Dir == "" {
		return ""
	}
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return ""
	}
	defer root.Close()
	name := ""
	for _, one := range candidates(file, dir) {
		if !filepath.IsLocal(one) {
			continue
		}
		if st, err := root.Stat(one); err == nil && st.Mode().IsRegular() {
			name = one
			break
		}
	}
	if name == "" || s.Top == "" {
		return name
	}
	full, err := filepath.Abs(filepath.Join(s.Dir, name))
	if err != nil {
		return name
	}
	if rel, err := filepath.Rel(s.Top, full); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return name
}

// candidates are what a tool may have meant, the most probable first.
func candidates(file, dir string) []string {
	const top = "<<" + buildlog.NamePackage + ">>"
	within := func(name string) (string, bool) {
		name = strings.TrimPrefix(name, "/")
		if name == top {
			return "", true
		}
		return strings.CutPrefix(name, top+"/")
	}
	if inner, ok := within(file); ok {
		return []string{path.Clean(inner)}
	}
	if path.IsAbs(file) {
		return nil
	}
	var all []string
	if inner, ok := within(dir); ok {
		all = append(all, path.Join(inner, file))
	}
	plain := path.Clean(file)
	for strings.HasPrefix(plain, "../") { // a build directory below the source
		plain = strings.TrimPrefix(plain, "../")
	}
	return append(all, cmp.Or(plain, "."))
}
