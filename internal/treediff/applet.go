package treediff

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"nsbuild/internal/buildroot"
	"nsbuild/internal/jails"
	"nsbuild/internal/output"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox"
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

// InJail compares trees of a jail, in a process there, and calls tell for each change.
func InJail(ctx context.Context, jail jails.Jail, t Trees, tell func(Change) error) error {
	text, err := rawjson.Marshal(t)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	told := make(chan error, 1)
	go func() { told <- readChanges(r, tell) }()
	var said output.Tail
	status, err := jail.RunTo(ctx, sandbox.Command{Applet: Applet, Argv: []string{string(text)},
		Env: buildroot.Env(), Files: []*os.File{w}}, &said, &said)
	err = errors.Join(err, w.Close())
	err = errors.Join(err, <-told)
	if err == nil && !status.Success() {
		err = said.Explain(fmt.Errorf("comparing: %s", status))
	}
	return err
}

func readChanges(r io.Reader, tell func(Change) error) error {
	in := rawjson.NewDecoder(r)
	for {
		var c Change
		err := in.Decode(&c)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = tell(c)
		}
		if err != nil {
			_, _ = io.Copy(io.Discard, r) // its writer must not wait for us
			return err
		}
	}
}
