package output

import (
	"fmt"
	"strings"

	"nsbuild/internal/fault"
)

// Capture keeps what a command in a jail says, up to a limit. The rest is read and forgotten: a
// command whose output nobody reads would never end.
type Capture struct {
	Limit int // in bytes
	text  strings.Builder
	over  bool
}

// Few is a limit for answers of a few lines, in bytes.
const Few = 1 << 20

func (c *Capture) Write(p []byte) (int, error) {
	keep := min(len(p), c.Limit-c.text.Len())
	c.text.Write(p[:keep])
	c.over = c.over || keep < len(p)
	return len(p), nil
}

// String is what was said, or an error when that was more than the limit.
func (c *Capture) String() (string, error) {
	if c.over {
		return "", fmt.Errorf("it says more than %s", fault.Size(int64(c.Limit)))
	}
	return c.text.String(), nil
}
