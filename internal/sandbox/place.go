package sandbox

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
)

// Place is what this process runs in, as far as that decides what mends a sandbox that is refused.
type Place struct {
	// Name is for people: "a podman container".
	Name string
	// namespaces has namespaces and mounts allowed, proc shows the whole of /proc. Both are hints.
	namespaces, proc string
}

// FindPlace tells where this process runs.
func FindPlace() Place { return findPlace("/", os.Getenv) }

// Contained tells whether it is a container.
func (p Place) Contained() bool { return p.proc != "" }

// dockerOptions are those that docker's command line takes.
const dockerOptions = "--security-opt seccomp=unconfined --security-opt apparmor=unconfined " +
	"--security-opt systempaths=unconfined"

// ownDocker is the hint where a build service starts containers by docker's options.
func ownDocker(name, where string) Place {
	const tail = " (or --privileged)"
	return Place{name, where + " " + dockerOptions + tail, where + " " + dockerOptions + tail}
}

// findPlace looks below root, and at the environment. Build services come before what they use.
func findPlace(root string, env func(string) string) Place {
	there := func(name string) bool {
		_, err := os.Stat(filepath.Join(root, name))
		return err == nil
	}
	docker, podman := there(".dockerenv"), there("run/.containerenv")
	kubernetes := env("KUBERNETES_SERVICE_HOST") != "" ||
		there("var/run/secrets/kubernetes.io")
	manager := containerOf(root, env)
	switch {
	case env("GITLAB_CI") != "" && kubernetes:
		const set = "in the runner's config.toml, [runners.kubernetes]: privileged = true"
		return Place{"a job of GitLab's kubernetes executor", set, set}
	case env("GITLAB_CI") != "" && (docker || podman):
		return Place{"a job of GitLab's docker executor", "in the runner's config.toml, " +
			`[runners.docker]: security_opt = ["seccomp=unconfined", "apparmor=unconfined"]`,
			"in the runner's config.toml, [runners.docker]: privileged = true"}
	case (env("FORGEJO_ACTIONS") != "" || env("GITEA_ACTIONS") != "") && (docker || podman):
		return ownDocker("a job of a Forgejo runner",
			"in the runner's configuration, container: options:")
	case env("CI") == "woodpecker":
		const set = "privileged: true in the step, of a repository that the server trusts"
		return Place{"a step of Woodpecker's", set, set}
	case env("GITHUB_ACTIONS") != "" && (docker || podman):
		return ownDocker("a GitHub job in a container", "leave out container: and run "+
			"sudo nsbuild on the runner itself; or container: options:")
	case env("GITHUB_ACTIONS") != "":
		return Place{"a GitHub job on its runner", "sudo nsbuild …: root is not restricted there",
			""}
	case env("JENKINS_URL") != "" && (docker || podman):
		return ownDocker("a Jenkins job in a container", "agent { docker { args '…' } } with")
	case kubernetes:
		return Place{"a Kubernetes pod", "in the pod hostUsers: false; in the container's " +
			"securityContext seccompProfile: {type: Unconfined} and " +
			"appArmorProfile: {type: Unconfined}",
			"in the pod hostUsers: false; in the container's securityContext procMount: Unmasked"}
	case podman || manager == "podman":
		return Place{"a podman container", "podman run --security-opt seccomp=unconfined " +
			"--security-opt apparmor=unconfined --security-opt unmask=ALL …",
			"podman run --security-opt unmask=ALL …"}
	case docker || manager == "docker":
		return ownDocker("a docker container", "docker run")
	case manager == "lxc" || manager == "incus" || there("dev/incus/sock") || there("dev/lxd/sock"):
		const set = "incus config set NAME security.nesting=true, and restart it (LXC: " +
			"lxc.include = /usr/share/lxc/config/nesting.conf)"
		return Place{"an LXC container", set, set}
	case manager == "systemd-nspawn":
		return Place{"a systemd-nspawn container",
			"systemd-nspawn --system-call-filter=\"@mount @keyring\" --private-users=no …",
			"SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes systemd-nspawn …"}
	case manager != "":
		return Place{"a container of " + manager + "'s",
			"have its filter of system calls allow namespaces and mounts", "show a whole /proc"}
	}
	return Place{Name: "this machine"}
}

// containerOf is what the manager of a container calls itself: systemd's "Container Interface".
func containerOf(root string, env func(string) string) string {
	if manager := env("container"); manager != "" {
		return strings.TrimSpace(manager)
	}
	for _, name := range []string{"run/host/container-manager", "run/systemd/container"} {
		data, err := os.ReadFile(filepath.Join(root, name))
		if text := string(bytes.TrimSpace(data)); err == nil && text != "" {
			return text
		}
	}
	// PID 1's, which only root reads.
	data, err := os.ReadFile(filepath.Join(root, "proc/1/environ"))
	if err != nil {
		return ""
	}
	for _, v := range strings.Split(string(data), "\x00") {
		if manager, ok := strings.CutPrefix(v, "container="); ok {
			return manager
		}
	}
	return ""
}

// WholeProc is the hint that makes the full level possible.
func (p Place) WholeProc() string {
	if p.proc == "" {
		return "start the container with a whole /proc: --security-opt unmask=ALL (podman), " +
			"--security-opt systempaths=unconfined (docker), procMount: Unmasked (Kubernetes); " +
			"in a systemd unit ProtectKernelTunables=no and ProcSubset=all"
	}
	return p.proc
}

// Namespaces is the hint that has namespaces and mounts allowed.
func (p Place) Namespaces() string {
	if p.namespaces == "" {
		return "in a container: allow namespaces (docker: " + dockerOptions + "); in a systemd " +
			"unit RestrictNamespaces=no and no SystemCallFilter= that forbids clone and mount"
	}
	return p.namespaces
}
