package index

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScanContents(t *testing.T) {
	const text = "usr/include/zlib.h\t\t\t    libdevel/zlib1g-dev\n" +
		"usr/include/a b.h non-free/libdevel/x-dev,libdevel/y-dev\n" +
		"\nodd\nusr/include/zlib.hpp libdevel/z-dev"
	var got []Owner
	err := scanContents(t.Context(), strings.NewReader(text), func(path []byte) bool {
		return bytes.Contains(path, []byte(".h"))
	}, func(o Owner) error { got = append(got, o); return nil })
	want := []Owner{{"usr/include/zlib.h", []string{"zlib1g-dev"}},
		{"usr/include/a b.h", []string{"x-dev", "y-dev"}},
		{"usr/include/zlib.hpp", []string{"z-dev"}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	enough := errors.New("enough")
	if err := scanContents(t.Context(), strings.NewReader(text), func([]byte) bool { return true },
		func(Owner) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	if err := scanContents(t.Context(), strings.NewReader(strings.Repeat("x", longestContents+1)),
		func([]byte) bool { return true }, nil); err == nil {
		t.Error("a line without an end")
	}
}

func FuzzContents(f *testing.F) {
	f.Add("usr/include/zlib.h\t\t\t    libdevel/zlib1g-dev\n")
	f.Fuzz(func(t *testing.T, text string) {
		_ = scanContents(t.Context(), strings.NewReader(text), func([]byte) bool { return true },
			func(o Owner) error {
				if o.Path == "" || len(o.Packages) == 0 {
					t.Errorf("%+v", o)
				}
				return nil
			})
	})
}
