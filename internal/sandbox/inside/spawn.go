package inside

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"nsbuild/internal/sandbox/execpath"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// spawn forks a command as a child of PID 1 (CLONE_PARENT), which alone reaps.
func spawn(own *reexec.Self, c *wire.Command, files []*os.File) (int, error) {
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	attr := &syscall.ProcAttr{
		Dir: dir,
		Env: c.Env,
		Sys: &syscall.SysProcAttr{
			Credential: credential(c),
			Setsid:     true,
			Cloneflags: syscall.CLONE_PARENT,
		},
	}
	if c.Applet != "" {
		pid, err := own.ForkExec(reexec.Applet, append([]string{c.Applet}, c.Argv...),
			reexec.Descriptors(files), attr)
		if err != nil {
			return 0, startError(c.Applet, dir, err)
		}
		return pid, nil
	}
	if c.Terminal || c.PID1 {
		return spawnSession(own, c, files, attr)
	}
	program, err := lookPath(c)
	if err != nil {
		return 0, err
	}
	pid, err := startProgram(own, program, c, reexec.Descriptors(files), attr)
	if err != nil {
		return 0, startError(program, dir, err)
	}
	return pid, nil
}

// startError tells a missing directory from a missing program: the kernel's errno is the same.
func startError(program, dir string, err error) error {
	if st, statErr := os.Stat(dir); statErr != nil || !st.IsDir() {
		if statErr == nil {
			statErr = syscall.ENOTDIR
		}
		return syserr.Wrap("chdir", dir, statErr)
	}
	return syserr.Wrap("exec", program, err)
}

// lookPath finds the program as execvp(3) does, in the command's own PATH.
func lookPath(c *wire.Command) (string, error) {
	name := c.Argv[0]
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			return filepath.Join("/", c.Dir, name), nil
		}
		return name, nil
	}
	search := execpath.DefaultPath
	for _, e := range c.Env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			search = value
		}
	}
	failed := syscall.ENOENT
	for _, dir := range filepath.SplitList(search) {
		if dir == "" {
			dir = c.Dir
		}
		file := filepath.Join("/", dir, name)
		st, err := os.Stat(file)
		switch {
		case err != nil || st.IsDir():
			continue
		case st.Mode()&0o111 != 0:
			return file, nil
		}
		failed = syscall.EACCES
	}
	return "", &syserr.Error{Op: "exec", Path: name, Errno: failed}
}

func credential(c *wire.Command) *syscall.Credential {
	groups := make([]uint32, len(c.Groups))
	for i, g := range c.Groups {
		groups[i] = uint32(g)
	}
	return &syscall.Credential{Uid: uint32(c.UID), Gid: uint32(c.GID), Groups: groups}
}
