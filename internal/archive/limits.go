package archive

import (
	"io"

	"nsbuild/internal/deb822"
)

// Limits of what we read from an archive. The largest paragraph of Debian's Sources is about 300
// KiB; a Release file of a large archive a few hundred.
const (
	maxParagraph = 4 << 20
	maxRelease   = 32 << 20
)

// scanIndex reads the paragraphs of an index.
func scanIndex(r io.Reader) *deb822.Scanner {
	return deb822.NewScanner(r, deb822.Syntax{Limit: maxParagraph})
}
