package treediff

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"nsbuild/internal/rawjson"
)

// Applet is the name of the process that compares trees in a jail, and Main its function. Its
// argument is Trees as JSON; it writes each Change as a line of JSON to descriptor 3.
const Applet = "tree-diff"

// Main compares trees.
func Main(args []string) int {
	if err := compare(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func compare(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("one argument is expected, not %d", len(args))
	}
	var t Trees
	if err := rawjson.Unmarshal([]byte(args[0]), &t); err != nil {
		return err
	}
	out := bufio.NewWriter(os.NewFile(3, "result"))
	if err := Compare(context.Background(), t, func(c Change) error {
		text, err := rawjson.Marshal(c)
		if err == nil {
			_, err = out.Write(append(text, '\n'))
		}
		return err
	}); err != nil {
		return err
	}
	return out.Flush()
}
