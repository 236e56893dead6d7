package dsc

import (
	"fmt"
	"strings"

	"pault.ag/go/debian/version"
)

// Version is a version as Policy 5.6.12 defines it. The zero value is no version.
type Version struct {
	text string
	v    version.Version
}

// ParseVersion checks a version and takes it apart.
func ParseVersion(s string) (Version, error) {
	// go-debian takes white space around the version, signs in the epoch, and an empty revision;
	// dpkg takes none of them.
	if s == "" {
		return Version{}, fmt.Errorf("the version is empty")
	}
	if strings.HasSuffix(s, "-") {
		return Version{}, fmt.Errorf("version %s: nothing after the last hyphen", quote(s))
	}
	if epoch, _, ok := strings.Cut(s, ":"); ok {
		if len(epoch) > 9 || strings.Trim(epoch, "0123456789") != "" || epoch == "" {
			return Version{}, fmt.Errorf("version %s: the epoch %s is not a small number", quote(s),
				quote(epoch))
		}
	}
	if len(s) > 250 || strings.ContainsAny(s, " \t\r\n") {
		return Version{}, fmt.Errorf("version %s: too long, or with white space", quote(s))
	}
	v, err := version.Parse(s)
	if err != nil {
		return Version{}, fmt.Errorf("version %s: %w", quote(s), err)
	}
	if v.Version == "" {
		return Version{}, fmt.Errorf("version %s: nothing before the hyphen", quote(s))
	}
	return Version{text: s, v: v}, nil
}

// String is the version as it was written.
func (v Version) String() string { return v.text }

// IsZero holds for no version.
func (v Version) IsZero() bool { return v.text == "" }

// FileName is the version as it stands in file names: without its epoch.
func (v Version) FileName() string {
	if _, rest, ok := strings.Cut(v.text, ":"); ok {
		return rest
	}
	return v.text
}

// Upstream is the version without epoch and Debian revision.
func (v Version) Upstream() string { return v.v.Version }

// Revision is the Debian revision; "" for a native package.
func (v Version) Revision() string { return v.v.Revision }

// Epoch is the number before the colon, 0 when there is none.
func (v Version) Epoch() uint { return v.v.Epoch }

// Native holds for a version without a Debian revision.
func (v Version) Native() bool { return v.v.Revision == "" }

// Compare is negative, zero or positive as v is earlier than, equal to or later than w, by the
// algorithm of Policy 5.6.12.
func (v Version) Compare(w Version) int { return version.Compare(v.v, w.v) }
