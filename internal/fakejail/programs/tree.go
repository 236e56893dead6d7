package programs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/fakedebian"
)

// WriteTree fills a directory as the root of a system on which packages are installed; where no
// dpkg is among them, it is one for amd64. It returns the packages as NAME VERSION ARCHITECTURE.
func WriteTree(t testing.TB, dir string, packages ...fakedebian.Package) []string {
	t.Helper()
	write := func(name, text string, mode os.FileMode) {
		file := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if err == nil {
			err = os.WriteFile(file, []byte(text), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	all := packages
	if !slices.ContainsFunc(all, func(p fakedebian.Package) bool { return p.Name == "dpkg" }) {
		all = append([]fakedebian.Package{{Name: "dpkg", Version: "1.21.22",
			Architecture: "amd64"}}, packages...)
	}
	var status strings.Builder
	var names []string
	for _, p := range all {
		control, err := paragraphs(p.Control())
		if err != nil || len(control) != 1 {
			t.Fatalf("the control file of %s: %v", p.Name, err)
		}
		is := control[0]
		is["Status"] = "install ok installed"
		status.WriteString(is.text() + "\n")
		names = append(names, fmt.Sprintf("%s %s %s", is["Package"], is["Version"],
			is["Architecture"]))
		var list strings.Builder
		for _, f := range p.Files {
			mode := os.FileMode(f.Mode)
			if mode == 0 {
				mode = 0o644
			}
			write(f.Path, f.Body, mode)
			list.WriteString("/" + f.Path + "\n")
		}
		write("var/lib/dpkg/info/"+p.Name+".list", list.String(), 0o644)
	}
	write("var/lib/dpkg/status", status.String(), 0o644)
	write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nbuilder:x:1000:1000::/nonexistent:/bin/sh\n",
		0o644)
	write("etc/group", "root:x:0:\nbuilder:x:1000:\n", 0o644)
	return names
}
