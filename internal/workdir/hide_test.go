package workdir

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

// TestHide: a message has the files of the directory by their own names, and is the same error.
func TestHide(t *testing.T) {
	d := &Dir{own: "/s/run/run-806844500"}
	for text, want := range map[string]string{
		"/s/run/run-806844500/fetch-12/hello_1.dsc:3: no field":      "hello_1.dsc:3: no field",
		"open /s/run/run-806844500/source-7.tar: no space":           "open source-7.tar: no space",
		"mkdir /s/run/run-806844500/upper-3: read/write":             "mkdir upper-3: read/write",
		"a: /s/run/run-806844500/a-1/b/c, /s/run/run-806844500/d/e.": "a: b/c, e.",
		"open /s/other: no":  "open /s/other: no",
		"/s/run/run-8068445": "/s/run/run-8068445",
	} {
		err := fmt.Errorf("%s%w", text, fs.ErrExist)
		got := d.Hide(err)
		if got.Error() != want+fs.ErrExist.Error() || !errors.Is(got, fs.ErrExist) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if err := d.Hide(nil); err != nil {
		t.Error(err)
	}
}

// TestHad knows paths in the directories of all processes, and no others.
func TestHad(t *testing.T) {
	d := &Dir{own: "/s/run/run-806844500"}
	for path, want := range map[string]bool{"/s/run/run-806844500/rebuilt-1": true,
		"/s/run/run-7/x": true, "/s/run": false, "/s/runs/x": false, "/s/bases": false, "": false} {
		if got := d.Had(path); got != want {
			t.Errorf("%q: %t", path, got)
		}
	}
}
