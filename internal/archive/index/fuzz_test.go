package index

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/deb822"
)

// FuzzOffers: what a list offers of a package is what it says of it.
func FuzzOffers(f *testing.F) {
	paragraph := "Package: x\nVersion: 1\nArchitecture: all\nDepends: a,\n b\nPre-Depends: " +
		"c\nPriority: required\nFilename: pool/x.deb\nSize: 1\nSHA256: " + sum64 + "\n"
	f.Add([]byte(paragraph + "\n" + paragraph))
	f.Add([]byte(strings.Replace(paragraph, "Depends: a,", "Depends:\n a,", 1)))
	file := filepath.Join(f.TempDir(), "Packages")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		l := &List{Path: file, Label: "x", Arch: "amd64"}
		err := l.offers(t.Context(), func(o *Offer) error {
			p, err := o.Read()
			if err == nil && (p.Package != o.Package || p.Version != o.Version ||
				p.Priority != o.Priority || p.Depends != o.Depends ||
				p.PreDepends != o.PreDepends) {
				t.Errorf("offered %+v, listed %+v", o, p)
			}
			return nil
		})
		if err != nil && !errors.Is(err, failure.ErrSyntax) {
			t.Error(err)
		}
		err = eachParagraph(t.Context(), file, "x", nil, func(*deb822.Scanner) error { return nil })
		if err != nil && !errors.Is(err, failure.ErrSyntax) {
			t.Error(err)
		}
	})
}
