package session

import (
	"context"
	"os"
	"strings"

	"nsbuild/internal/console"
	"nsbuild/internal/sandbox"
)

// command makes the command as the jail's files have it.
func (e *errand) command(ctx context.Context, jail *sandbox.Jail) (sandbox.Command, error) {
	a, err := lookup(jail, e.User, e.Group, e.Groups)
	if err == nil && a.unknown && e.throwaway {
		err = settle(ctx, jail, &a)
	}
	if err != nil {
		return sandbox.Command{}, err
	}
	c := sandbox.Command{
		Argv: e.Argv, Dir: e.Dir, UID: a.uid, GID: a.gid, Groups: a.groups, Stdin: e.Stdin,
		Stdout: e.Stdout, Stderr: e.Stderr,
		Terminal: console.IsTerminal(e.Stdin) && console.IsTerminal(e.Stdout), PID1: e.PID1,
	}
	if len(c.Argv) == 0 {
		c.Argv = []string{a.shell, "-l"}
		if c.Dir == "" {
			c.Dir = homeDir(jail, a.home)
		}
	}
	c.Env = e.environment(&a, c.Terminal)
	if hasFakeroot(jail) {
		c.Env = merge([]string{"FAKEROOTDONTTRYCHOWN=1"}, c.Env)
	}
	return c, nil
}

// homeDir is the home, or "/" where there is none.
func homeDir(jail *sandbox.Jail, home string) string {
	f, err := jail.Open(home)
	if err != nil {
		return "/" // as login(1) does
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.IsDir() {
		return "/"
	}
	return home
}

// environment is what login(1) would give; nothing of the caller's but the kind of its terminal,
// and its proxies where it is the caller's network.
func (e *errand) environment(a *account, terminal bool) []string {
	path := "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
	if a.uid == 0 {
		path = sandbox.DefaultPath
	}
	env := []string{
		"PATH=" + path, "HOME=" + a.home, "SHELL=" + a.shell, "USER=" + a.name, "LOGNAME=" + a.name,
		"LANG=C.UTF-8",
		"debian_chroot=" + e.chroot, // Debian's prompts show it
	}
	for _, key := range []string{"TERM", "COLORTERM", "NO_COLOR"} {
		if value := os.Getenv(key); value != "" && terminal {
			env = append(env, key+"="+value)
		}
	}
	if e.network == sandbox.NetworkHost {
		env = append(env, proxies(os.Getenv)...)
	}
	return merge(env, e.Env)
}

// merge replaces and adds variables.
func merge(env, more []string) []string {
	for _, e := range more {
		key, _, _ := strings.Cut(e, "=")
		replaced := false
		for i := range env {
			if strings.HasPrefix(env[i], key+"=") {
				env[i], replaced = e, true
			}
		}
		if !replaced {
			env = append(env, e)
		}
	}
	return env
}
