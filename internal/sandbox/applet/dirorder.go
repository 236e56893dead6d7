package applet

import (
	"fmt"
	"os"
	"strconv"

	"nsbuild/internal/sandbox/dirorder"
)

// dirOrderMain answers those who read directories in a jail.
func dirOrderMain(args []string) int {
	if len(args) != 1 {
		fmt.Fprintf(os.Stderr, "one number is expected, not %q\n", args)
		return 2
	}
	seed, err := strconv.ParseUint(args[0], 10, 64)
	if err == nil {
		err = dirorder.Serve(os.NewFile(3, "listener"), seed)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
