// Package aptconf reads what this host's apt is told about fetching: apt.conf(5), sources.list(5),
// apt_auth.conf(5), lists of mirrors and trusted keys.
//
// Out of it, and of what the user names, it makes repositories (Repo): one suite on one mirror,
// with the keys that may sign it. Nothing is fetched here, and no program run.
package aptconf

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"nsbuild/internal/archive/suites"
	"nsbuild/internal/regular"
)

// Host is what the host's apt configuration says about fetching: where its packages come from,
// through which proxy, with which names and passwords, trusting which keys, and how strict it is
// about dates. The zero Host is a host without apt: everything is then the suite table's and the
// embedded keyrings'.
type Host struct {
	// Warnings are things found in the configuration that could not be read or are not supported;
	// one line each.
	Warnings []string

	table   *suites.Table // of the suites; nil: those that nsbuild brings along
	root    string
	conf    *aptConf
	sources []source
	auth    []authEntry
	getenv  func(string) string
}

// ReadHost reads the apt configuration below root ("/" in the product): apt.conf and apt.conf.d,
// sources.list and sources.list.d, auth.conf and auth.conf.d, as apt.conf(5), sources.list(5) and
// apt_auth.conf(5) describe them. It runs no program. A file that is malformed or may not be read
// becomes a warning: the rest still counts. The environment (http_proxy, https_proxy, no_proxy,
// APT_CONFIG) counts only for the root "/". Which suites are known, and of which distribution,
// table says.
func ReadHost(root string, table *suites.Table) (*Host, error) {
	getenv := os.Getenv
	if filepath.Clean(root) != "/" {
		getenv = func(string) string { return "" }
	}
	return readHost(root, table, getenv)
}

func readHost(root string, table *suites.Table, getenv func(string) string) (*Host, error) {
	h := &Host{table: table, root: root, conf: newAptConf(), getenv: getenv}
	if file := getenv("APT_CONFIG"); file != "" {
		h.readConf(file)
	}
	for _, file := range h.parts("etc/apt/apt.conf.d", "", "conf") {
		h.readConf(file)
	}
	h.readConf(h.path("etc/apt/apt.conf"))
	h.readSources()
	h.auth = append(h.auth, h.readAuth(h.path("etc/apt/auth.conf"))...)
	for _, file := range h.parts("etc/apt/auth.conf.d", "", "conf") {
		h.auth = append(h.auth, h.readAuth(file)...)
	}
	for _, name := range []string{"Acquire::http::Proxy-Auto-Detect",
		"Acquire::http::ProxyAutoDetect"} {
		if prog := h.conf.get(name); prog != "" && h.conf.get("Acquire::http::Proxy") == "" {
			h.warn("apt's " + name + " (" + prog +
				") is not run: set Acquire::http::Proxy or http_proxy if a proxy is needed")
		}
	}
	return h, nil
}

func (h *Host) warn(line string) { h.Warnings = append(h.Warnings, line) }

// path puts a name below the host's root.
func (h *Host) path(name string) string { return filepath.Join(h.root, name) }

// maxConfiguration bounds a file of apt's configuration.
const maxConfiguration = 16 << 20

// read returns a file's text; absence is an empty file, anything else that hinders is a warning.
func (h *Host) read(file string) string {
	data, err := regular.ReadFile(file, maxConfiguration)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.warn(err.Error())
	}
	return string(data)
}

// parts lists the files of a .d directory that apt would read, in its order (by name).
func (h *Host) parts(dir string, extensions ...string) []string {
	entries, err := os.ReadDir(h.path(dir)) // sorted by name
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.warn(err.Error())
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() && partName(e.Name(), extensions...) {
			out = append(out, filepath.Join(h.path(dir), e.Name()))
		}
	}
	return out
}

func (h *Host) readConf(file string) {
	if err := h.conf.parse(h.read(file)); err != nil {
		h.warn(file + ": " + err.Error())
	}
}

func (h *Host) readSources() {
	main, dir := "etc/apt/sources.list", "etc/apt/sources.list.d"
	if v := h.conf.get("Dir::Etc::sourcelist"); v != "" {
		main = etcPath(v)
	}
	if v := h.conf.get("Dir::Etc::sourceparts"); v != "" {
		dir = etcPath(v)
	}
	for _, file := range append([]string{h.path(main)}, h.parts(dir, "list", "sources")...) {
		parse := parseOneLine
		if strings.HasSuffix(file, ".sources") {
			parse = parseSources
		}
		found, err := parse(h.read(file), file, h.arch())
		if err != nil {
			h.warn(err.Error())
		}
		for _, src := range found {
			h.resolve(&src)
			h.sources = append(h.sources, src)
		}
	}
}

// arch is what $(ARCH) stands for in the host's sources.
func (h *Host) arch() string {
	if h.conf != nil {
		if arch := h.conf.get("APT::Architecture"); arch != "" {
			return arch
		}
	}
	names := map[string]string{
		"386": "i386", "arm": "armhf", "ppc64le": "ppc64el", "mips64le": "mips64el",
	}
	return cmp.Or(names[runtime.GOARCH], runtime.GOARCH)
}

// etcPath resolves a file name of Dir::Etc, which is relative to etc/apt.
func etcPath(v string) string {
	if filepath.IsAbs(v) {
		return v
	}
	return filepath.Join("etc/apt", v)
}

// suites is the table of suites.
func (h *Host) suites() *suites.Table {
	if h.table == nil {
		return suites.New()
	}
	return h.table
}
