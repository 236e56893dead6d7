package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFindPlace: where a sandbox is refused, the hint is that of the runner, and it asks for no
// capability of the host.
func TestFindPlace(t *testing.T) {
	for _, c := range []struct {
		name, files, env string // separated by blanks; FILE=TEXT
		proc, namespaces string
	}{
		{"this machine", "", "", "unmask=ALL", "seccomp=unconfined"},
		{"a podman container", "run/.containerenv=", "container=podman", "podman run",
			"podman run"},
		{"a docker container", ".dockerenv=", "", "docker run", "apparmor=unconfined"},
		{"a job of GitLab's docker executor", ".dockerenv=", "GITLAB_CI=true", "privileged",
			"security_opt = "},
		{"a job of GitLab's kubernetes executor", "", "GITLAB_CI=true KUBERNETES_SERVICE_HOST=x",
			"runners.kubernetes", "privileged"},
		{"a GitHub job in a container", ".dockerenv=", "GITHUB_ACTIONS=true", "leave out container:",
			"options:"},
		{"a GitHub job on its runner", "", "GITHUB_ACTIONS=true", "unmask=ALL", "sudo nsbuild"},
		{"a job of a Forgejo runner", ".dockerenv=", "GITHUB_ACTIONS=true FORGEJO_ACTIONS=true",
			"options:", "options:"},
		{"a step of Woodpecker's", ".dockerenv=", "CI=woodpecker", "privileged", "privileged"},
		{"a Jenkins job in a container", ".dockerenv=", "JENKINS_URL=x", "args", "args"},
		{"a Kubernetes pod", "var/run/secrets/kubernetes.io/x=", "", "procMount: Unmasked",
			"hostUsers: false"},
		{"an LXC container", "proc/1/environ=a=b\x00container=lxc\x00", "", "security.nesting",
			"security.nesting"},
		{"an LXC container", "dev/incus/sock=", "", "security.nesting", "security.nesting"},
		{"a systemd-nspawn container", "run/host/container-manager=systemd-nspawn", "",
			"API_VFS_WRITABLE", "system-call-filter"},
		{"a container of rkt's", "run/systemd/container=rkt", "", "whole /proc", "filter"},
	} {
		root := t.TempDir()
		for _, f := range strings.Fields(c.files) {
			name, text, _ := strings.Cut(f, "=")
			file := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got := findPlace(root, func(name string) string {
			for _, v := range strings.Fields(c.env) {
				if value, ok := strings.CutPrefix(v, name+"="); ok {
					return value
				}
			}
			return ""
		})
		if got.Name != c.name {
			t.Errorf("%s %s: %s, want %s", c.files, c.env, got.Name, c.name)
		}
		for hint, want := range map[string]string{got.WholeProc(): c.proc,
			got.Namespaces(): c.namespaces} {
			if !strings.Contains(hint, want) || strings.Contains(hint, "SYS_ADMIN") {
				t.Errorf("%s: the hint is %q, without %q", got.Name, hint, want)
			}
		}
	}
}
