package index

import (
	"io"

	"nsbuild/internal/deb822"
)

// maxParagraph bounds a paragraph of an index, in bytes. The largest of Debian's Sources has about
// 300 KiB.
const maxParagraph = 4 << 20

// Scan reads the paragraphs of an index.
func Scan(r io.Reader) *deb822.Scanner {
	return deb822.NewScanner(r, deb822.Syntax{Limit: maxParagraph})
}
