package hook

import (
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/sandbox"
)

// Context is what hooks are told. Paths are those of the jail, but for those on the host.
type Context struct {
	Operation    Operation
	Source       string
	Version      string
	PkgVer       string // both, as the names of files have them
	Distribution string
	BuildArch    string
	HostArch     string
	BuildType    string
	Profiles     []string
	Builder      string // the user that builds
	BuildDir     string // where sources and results lie
	SourceDir    string // the unpacked source; "" while there is none
	DSC          string // "" when it is not there yet
	Changes      string // "" before the build
	Status       string // of the build so far, sbuild's word; "" while it goes well
	FailStage    string
	Fakeroot     bool // it is installed in the jail

	HostDSC     string // on the host; "" when there is none
	HostChanges string
	HostLog     string // the place of the log on the host, whether one is left there or not
	ChrootDir   string // the jail's root as the host sees it
	ChrootExec  string // a command's beginning that runs it in the jail
}

// shellCommand is what %s stands for, as in sbuild.
const shellCommand = "bash -i </dev/tty >/dev/tty 2>/dev/tty"

// commandEnv is the environment of commands in a jail. Its last variable is LC_ALL.
func commandEnv() []string {
	return []string{
		"PATH=" + sandbox.DefaultPath, "SHELL=/bin/sh",
		"USER=root", "LOGNAME=root", "HOME=/nonexistent",
		"DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8",
	}
}

// environment is what every hook in a jail finds, the native ones and the others.
func (c *Context) environment(h *Hook, network bool) []string {
	env := commandEnv()
	if c.Fakeroot { // to ids that a jail does not map, chown fails in a way that it does not expect
		env = slices.Insert(env, 0, "FAKEROOTDONTTRYCHOWN=1")
	}
	if h.dir != nil && h.dir.pbuilder {
		env[len(env)-1] = "LC_ALL=C"
		return append(env, "LANG=C", "BUILDDIR="+c.BuildDir, "DISTRIBUTION="+c.Distribution,
			"BUILD_ARCH="+c.BuildArch, "HOST_ARCH="+c.HostArch,
			"PBUILDER_OPERATION="+c.Operation.pbuilders())
	}
	if h.dir == nil {
		return env
	}
	net := "none"
	if network {
		net = "host"
	}
	own := [][2]string{
		{"OPERATION", string(c.Operation)}, {"STAGE", string(h.Stage)}, {"HOOK", h.Name},
		{"HOOK_DIR", h.dir.where()}, {"STATE_DIR", h.dir.state()}, {"NETWORK", net},
		{"SOURCE", c.Source}, {"VERSION", c.Version}, {"DISTRIBUTION", c.Distribution},
		{"BUILD_ARCH", c.BuildArch}, {"HOST_ARCH", c.HostArch}, {"BUILD_TYPE", c.BuildType},
		{"PROFILES", strings.Join(c.Profiles, " ")}, {"BUILDER", c.Builder},
		{"BUILD_DIR", c.BuildDir}, {"SOURCE_DIR", c.SourceDir}, {"DSC", c.DSC},
		{"CHANGES", c.Changes},
		{"STATUS", c.Status}, {"FAIL_STAGE", c.FailStage},
	}
	if h.dir.conf.cache {
		own = append(own, [2]string{"CACHE_DIR", CacheDir(h.dir.name)})
	}
	if h.dir.conf.log && c.Operation == Build { // nothing else has one
		own = append(own, [2]string{"LOG", logFile})
	}
	if h.Stage == BeforeBuild {
		own = append(own, [2]string{"ENV", envFile})
	}
	for _, v := range own {
		if v[1] != "" {
			env = append(env, "NSBUILD_"+v[0]+"="+v[1])
		}
	}
	return env
}

// expand replaces sbuild's escapes. One that has no value here stays as it is, as in sbuild.
func (c *Context) expand(command string, onHost bool) string {
	dsc, changes := c.DSC, c.Changes
	if onHost {
		dsc, changes = c.HostDSC, c.HostChanges
	}
	logDir, logName := filepath.Split(c.HostLog)
	escapes := []struct{ name, value string }{ // those that begin with others first
		{"SBUILD_PKGBUILD_DIR", c.SourceDir}, {"SBUILD_CHROOT_EXEC", ""}, {"SBUILD_CHROOT_DIR", ""},
		{"SBUILD_BUILD_ARCH", c.BuildArch}, {"SBUILD_HOST_ARCH", c.HostArch},
		{"SBUILD_BUILD_DIR", c.BuildDir}, {"SBUILD_CHANGES", changes},
		{"SBUILD_SHELL", shellCommand}, {"SBUILD_DSC", dsc},
		{"SBUILD_LOG_BASENAME", logName}, {"SBUILD_LOG_PATH", c.HostLog},
		{"SBUILD_LOG_DIR", strings.TrimSuffix(logDir, "/")},
		{"SRCPACKAGE_VERSION", c.PkgVer}, {"SRCPACKAGE", c.Source},
		{"%", "%"}, {"a", c.HostArch}, {"b", c.BuildDir}, {"c", changes}, {"d", dsc}, {"e", ""},
		{"p", c.SourceDir}, {"r", ""}, {"s", shellCommand},
	}
	if onHost {
		for i := range escapes {
			switch escapes[i].name {
			case "e", "SBUILD_CHROOT_EXEC":
				escapes[i].value = c.ChrootExec
			case "r", "SBUILD_CHROOT_DIR":
				escapes[i].value = c.ChrootDir
			}
		}
	}
	var out strings.Builder
next:
	for i := 0; i < len(command); i++ {
		if command[i] == '%' {
			for _, e := range escapes {
				if e.value != "" && strings.HasPrefix(command[i+1:], e.name) {
					out.WriteString(e.value)
					i += len(e.name)
					continue next
				}
			}
		}
		out.WriteByte(command[i])
	}
	return out.String()
}

// interactive tells whether a command asks for a shell on the terminal.
func interactive(command string) bool {
	return strings.Contains(command, "%s") || strings.Contains(command, "%SBUILD_SHELL")
}
