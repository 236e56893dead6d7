package cachedir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/fault"
	"nsbuild/internal/plan"
	"nsbuild/internal/result"
)

// TestTrimPinned: what is pinned stays and counts first, so that what is not goes sooner.
func TestTrimPinned(t *testing.T) {
	d, _ := filled(t)
	path, err := d.Files.Keep(cache.Sources, []byte(strings.Repeat("s", 50)))
	if err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-1000 * time.Hour)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	pin := &cache.Pin{Name: "x", Files: []cache.Pinned{{Kind: cache.Sources, Size: 50,
		SHA256: filepath.Base(path)}}}
	if err := d.Files.Pin(pin); err != nil || len(pin.Gone) > 0 {
		t.Fatalf("%v, %+v", err, pin.Gone)
	}
	if files, bytes, err := d.Pinned(t.Context()); files != 1 || bytes != 50 || err != nil {
		t.Errorf("%d files of %d bytes are pinned: %v", files, bytes, err)
	}
	// 200 bytes of layers, the last used; with what is pinned 150 leave room for one of them
	if freed, err := d.Trim(t.Context(), Keep{Bytes: 150}); err != nil || freed != 120 {
		t.Errorf("%d freed, %v", freed, err)
	}
	if _, err := d.Trim(t.Context(), Keep{Bytes: -1, Age: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// TestPinsOf: plans and results say what is to be kept; what was not fetched is not.
func TestPinsOf(t *testing.T) {
	dir := t.TempDir()
	sum := strings.Repeat("ab", 32)
	p := &plan.Plan{Source: plan.Source{Name: "hello", Version: "1:2-3", DSC: "hello_2-3.dsc",
		Text: "Source: hello\n", Files: []plan.File{{Name: "hello.tar", SHA256: sum}}},
		Base: plan.Base{Packages: []plan.Package{{Name: "libc6", Version: "2",
			SHA256: sum}}},
		Dependencies: plan.Dependencies{Packages: []plan.Package{{Name: "gcc", SHA256: sum}}}}
	fetched := filepath.Join(dir, "fetched"+plan.Suffix)
	local := filepath.Join(dir, "local"+plan.Suffix)
	r := &result.Result{Source: result.Source{Name: "hello", Version: "1:2-3", From: "hello/sid",
		DSC:   &result.Hashed{Name: "hello_2-3.dsc", SHA256: hashes.SHA256([]byte(p.Source.Text))},
		Files: []result.Hashed{{Name: "hello.tar", SHA256: sum}}},
		Inputs: result.Inputs{Base: result.Base{Packages: []result.Package{{Name: "libc6",
			Version: "2", SHA256: sum}}},
			Dependencies: []result.Package{{Name: "gcc", SHA256: sum}}},
		Outcome: result.Outcome{Status: "successful"}}
	of := filepath.Join(dir, "result.json")
	several := filepath.Join(dir, "several.json")
	write := func(errs ...error) {
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	write(plan.Write(fetched, p), result.Write(of, r))
	p.Source.Dir = "/somewhere"
	r.Source.From = "../hello_2-3.dsc"
	write(plan.Write(local, p), result.WriteSeveral(several,
		&result.Several{Results: []*result.Result{r, r}}))
	all := []string{"sources hello_2-3.dsc", "sources hello.tar", "debs libc6 2", "debs gcc "}
	for file, want := range map[string][]string{fetched: all, of: all, local: all[2:],
		several: slices.Concat(all[2:], all[2:])} {
		pins, err := PinsOf(file)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range pins {
			for _, f := range p.Files {
				got = append(got, f.Kind+" "+f.Name)
			}
			if p.From != file || !strings.HasPrefix(p.Name, "hello_2-3_") {
				t.Errorf("%+v", p)
			}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
	r.Inputs.Dependencies[0].SHA256 = ""
	write(result.Write(of, r))
	if _, err := PinsOf(of); err == nil || !strings.Contains(err.Error(), "gcc") {
		t.Errorf("an unknown file: %v", err)
	}
	r.Inputs = result.Inputs{}
	write(result.Write(of, r))
	if _, err := PinsOf(of); err == nil {
		t.Error("a build without packages is pinned")
	}
	write(os.WriteFile(of, []byte("{"), 0o600))
	if _, err := PinsOf(of); fault.KindOf(err) != fault.Usage {
		t.Errorf("no result: %v", err)
	}
}
