package build

import (
	"context"
	"os"

	"nsbuild/internal/sandbox"
)

// RunOptions say what command to run, and how.
type RunOptions struct {
	Base    string
	Argv    []string // none: a login shell
	Dir     string
	Network bool // share the host's
	Stdin   *os.File
	Stdout  *os.File
	Stderr  *os.File
}

// Run runs a command as root of a jail in a throwaway layer over a base.
func (e *Env) Run(ctx context.Context, o RunOptions) (sandbox.Status, error) {
	g, err := e.Store.Use(o.Base)
	if err != nil {
		return sandbox.Status{}, err
	}
	defer g.Close()
	h, err := e.hold(ctx, g.Manifest.IDs, "")
	if err != nil {
		return sandbox.Status{}, err
	}
	defer h.Close()
	spec := sandbox.Spec{Root: sandbox.Root{Lowers: []sandbox.Lower{{Path: g.Tree()}}}, Hostname: g.Name}
	if o.Network {
		spec.Network = sandbox.NetworkHost
		spec.Mounts = []sandbox.Mount{{Type: "bind", Source: "/etc/resolv.conf", Target: "/etc/resolv.conf", ReadOnly: true, Mkdir: true}}
	}
	jail, err := h.NewJail(ctx, spec)
	if err != nil {
		return sandbox.Status{}, err
	}
	argv := o.Argv
	if len(argv) == 0 {
		argv = []string{"/bin/sh", "-l"}
	}
	env := commandEnv()
	if term := os.Getenv("TERM"); term != "" {
		env = append(env, "TERM="+term)
	}
	return jail.Run(ctx, sandbox.Command{Argv: argv, Env: env, Dir: o.Dir, Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr})
}
