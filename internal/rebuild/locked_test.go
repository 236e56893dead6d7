package rebuild

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/fault"
	"nsbuild/internal/machine"
	"nsbuild/internal/plan"
	"nsbuild/internal/result"
)

// TestTwins: of two files of one name and version in the cache, a lock decides, be it named or
// beside the .buildinfo, or the result of the build. Where nothing decides, or neither of the files
// is the one, the package is missing.
func TestTwins(t *testing.T) {
	w := newWorld(t)
	sum, size, _ := w.made()
	local := pack("gcc", "12.2")
	local.Files[0].Body = "a local one\n"
	data := local.Deb(t)
	own := fmt.Sprintf("%x", sha256.Sum256(data))
	w.write(filepath.Join(w.dir, "cache", "debs", own[:2], own+".deb"), string(data))
	w.check(os.RemoveAll(filepath.Join(w.dir, "cache", "lists")))
	w.offline = true
	info := w.info(sum, size)
	locked := func(digest, version, arch string) *plan.Plan {
		return &plan.Plan{Source: plan.Source{Name: "hello", Version: version},
			Base: plan.Base{Packages: []plan.Package{{Name: "gcc", Version: "12.2", Arch: arch,
				SHA256: digest}}}}
	}
	beside := strings.TrimSuffix(info, ".buildinfo") + plan.Suffix
	native := machine.Native()
	file := filepath.Join(t.TempDir(), "x")
	for _, c := range []struct {
		name    string
		prepare func() (lock string, err error)
		kind    fault.Kind // Internal: none
		says    string
	}{
		{"nothing", func() (string, error) { return "", nil }, fault.GivenBack, "has 2 files"},
		{"beside", func() (string, error) {
			return "", plan.Write(beside, locked(own, "2.10-3", native))
		}, fault.Internal, "the hashes of packages are those of hello.plan.json"},
		{"of another", func() (string, error) {
			return "", plan.Write(beside, locked(own, "2", native))
		}, fault.GivenBack, "it is of hello 2"},
		{"of another architecture", func() (string, error) {
			return "", plan.Write(beside, locked(own, "2.10-3", "s390x"))
		}, fault.GivenBack, "has 2 files"},
		{"damaged", func() (string, error) { return "", os.WriteFile(beside, []byte("{"), 0o600) },
			fault.GivenBack, "is not used"},
		{"named", func() (string, error) {
			return file + plan.Suffix, plan.Write(file+plan.Suffix, locked(own, "x", "all"))
		}, fault.Internal, "root: 3 packages"},
		{"a result", func() (string, error) {
			return file, result.Write(file, &result.Result{Outcome: result.Outcome{Status: "x"},
				Inputs: result.Inputs{Dependencies: []result.Package{{Name: "gcc", Arch: native,
					Version: "12.2", SHA256: own}}}})
		}, fault.Internal, "root: 3 packages"},
		{"neither", func() (string, error) {
			return file + plan.Suffix, plan.Write(file+plan.Suffix, locked(nothing, "x", native))
		}, fault.GivenBack, "package gcc 12.2"},
		{"no lock", func() (string, error) { return file + "nowhere", nil }, fault.Usage, ""},
	} {
		w.check(os.RemoveAll(beside))
		lock, err := c.prepare()
		w.check(err)
		report, err := w.run(Request{File: info, Lock: lock})
		text := strings.Join(report.Lines(), "\n")
		if err != nil && fault.KindOf(err) != c.kind || err == nil && c.kind != fault.Internal ||
			!strings.Contains(text, c.says) {
			t.Errorf("%s: %v (%v)\n%s", c.name, err, fault.KindOf(err), text)
		}
		for _, p := range report.Packages {
			if p.Name == "gcc" && p.SHA256 != own {
				t.Errorf("%s: the root has %+v", c.name, p)
			}
		}
	}
}
