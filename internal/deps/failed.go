package deps

import (
	"errors"
	"fmt"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/fault"
)

// failed says what apt said: its explanation is what the user needs.
func (in *installation) failed(err error) error {
	if explanation := Explanation(in.on.Log.Tail(40)); len(explanation) > 0 {
		err = fmt.Errorf("%w:\n  %s", err, strings.Join(explanation, "\n  "))
	}
	hint := ""
	if errors.Is(err, apt.ErrUnresolved) {
		hint = in.Unresolved
	}
	if in.What != "" {
		err = fmt.Errorf("%s: %w", in.What, err)
	}
	return fault.Wrap(fault.GivenBack, hint, err)
}
