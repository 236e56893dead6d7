// Package testenv says what a test needs of the machine that it runs on, and checks that the
// machine is left as it was.
//
// A condition that does not hold skips the test with its reason. Where everything must run, the
// environment variable NSBUILD_TEST_REQUIRE turns such a skip into a failure: it names conditions
// ("userns,network"), or "all" for all of them. Who runs the tests is not a matter of the machine,
// so "all" does not contain the conditions "root" and "user" (nor "cgroup"): a machine's tests run
// once as each.
//
// The package is for tests alone and imports nothing of nsbuild.
package testenv

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// requireVariable names the conditions whose absence is a failure.
const requireVariable = "NSBUILD_TEST_REQUIRE"

// Missing skips the test for want of a condition, or fails it where the condition is required. The
// reason says what is missing. It is for what only the test itself can find out.
func Missing(t testing.TB, condition, reason string) {
	t.Helper()
	missing(t, condition, reason)
}

// missing skips the test, or fails it where the condition is required.
func missing(t testing.TB, condition, reason string) {
	t.Helper()
	if required(os.Getenv(requireVariable), condition) {
		t.Fatalf("%s: %s requires it", reason, requireVariable)
	}
	t.Skip(reason)
}

func required(list, condition string) bool {
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == condition || name == "all" && condition != "root" && condition != "user" &&
			condition != "cgroup" {
			return true
		}
	}
	return false
}

// RequireRoot needs uid 0. Condition "root".
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "root", "needs root")
	}
}

// RequireUser needs an ordinary user. Condition "user".
func RequireUser(t testing.TB) {
	t.Helper()
	if os.Getuid() == 0 {
		missing(t, "user", "needs an unprivileged user")
	}
}

// RequireUserns needs what a jail needs: new user namespaces and, for an ordinary user, subordinate
// ids with the tools that map them. Condition "userns".
func RequireUserns(t testing.TB) {
	t.Helper()
	if err := userns(); err != nil {
		missing(t, "userns", "needs user namespaces: "+err.Error())
	}
}

// RequireArch needs a machine of one of Go's architectures, for tests that run machine code.
// Condition "arch".
func RequireArch(t testing.TB, arch string) {
	t.Helper()
	if runtime.GOARCH != arch {
		missing(t, "arch", "needs a processor of "+arch)
	}
}

// RequireNetwork needs the mirror that the host's apt uses, or without apt Debian's primary one.
// Condition "network". With -short it always skips.
func RequireNetwork(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the network, which -short leaves out")
	}
	if err := network(); err != nil {
		missing(t, "network", "needs a mirror: "+err.Error())
	}
}

// RequireTool needs programs in PATH or in the administrator's directories. Condition "tool".
func RequireTool(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := FindTool(name); err != nil {
			missing(t, "tool", "needs "+name+": "+err.Error())
		}
	}
}

// FindTool looks for a program in PATH, then in /usr/local/sbin, /usr/sbin and /sbin, which an
// ordinary user's PATH lacks.
func FindTool(name string) (string, error) {
	found, err := exec.LookPath(name)
	if err == nil {
		return found, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if found, sbinErr := exec.LookPath(filepath.Join(dir, name)); sbinErr == nil {
			return found, nil
		}
	}
	return "", err
}

// userns tries what a jail does first.
var userns = sync.OnceValue(func() error {
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("making one: %w", err)
	}
	if os.Getuid() == 0 {
		return nil
	}
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !hasRange(string(data), me.Username, me.Uid) {
			return fmt.Errorf("no range of 65536 ids for %s in %s", me.Username, file)
		}
	}
	return nil
})

// hasRange looks for a large enough range in a subuid(5) file.
func hasRange(text, name, uid string) bool {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || f[0] != name && f[0] != uid {
			continue
		}
		if n, err := strconv.Atoi(f[2]); err == nil && n >= 65536 {
			return true
		}
	}
	return false
}

// network asks the mirror for its suites' directory; any answer will do.
var network = sync.OnceValue(func() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	mirror, proxy := hostMirror()
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil {
			return err
		}
		transport.Proxy = http.ProxyURL(u)
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, strings.TrimSuffix(mirror, "/")+
		"/dists/", nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
})

// hostMirror is the first http mirror of the host's apt, and apt's proxy.
func hostMirror() (mirror, proxy string) {
	mirror = "http://ftp.debian.org/debian"
	// Neither pattern is malformed.
	lists, _ := filepath.Glob("/etc/apt/sources.list")
	more, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	for _, file := range slices.Concat(lists, more) {
		if uri := firstURI(file); uri != "" {
			mirror = uri
			break
		}
	}
	if out, err := exec.Command("apt-config", "dump", "--format", "%v",
		"Acquire::http::Proxy").Output(); err == nil {
		proxy = strings.TrimSpace(string(out))
	}
	if proxy == "DIRECT" {
		proxy = ""
	}
	return mirror, proxy
}

func firstURI(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return "" // not for us to read
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || words[0] != "deb" && !strings.EqualFold(words[0], "URIs:") {
			continue
		}
		for _, w := range words[1:] {
			if strings.HasPrefix(w, "http://") || strings.HasPrefix(w, "https://") {
				return w
			}
		}
	}
	return ""
}

// eventually tries until f returns nil or the time is up, and returns its last error.
func eventually(limit time.Duration, f func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Programs says how the host's programs are shown in a small root: the directories to bind, and the
// links that stand for the others where /usr is merged. In a base of nsbuild's own, as an image to
// test in, /bin may be no link.
func Programs() (dirs []string, links map[string]string) {
	dirs, links = []string{"/usr"}, map[string]string{}
	for _, dir := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		if to, err := os.Readlink(dir); err == nil {
			links[dir] = to
		} else if _, err := os.Stat(dir); err == nil {
			dirs = append(dirs, dir)
		}
	}
	return dirs, links
}
