package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

// jailTarget is where a bootstrapper of the host sees the tree.
const jailTarget = "/target"

// foreign runs the host's debootstrap or mmdebstrap, in a jail that shows the host's programs and has the network.
func (j *job) foreign(ctx context.Context) (*Result, error) {
	start := time.Now()
	name := j.o.Bootstrapper
	if _, err := exec.LookPath(name); err != nil {
		if _, err := os.Stat("/usr/sbin/" + name); err != nil { // a user's PATH lacks /usr/sbin
			return nil, fault.New(fault.Usage, "sudo apt-get install "+name+", or leave --bootstrapper out", "%s is not installed", name)
		}
	}
	j.begin(name)
	temp := filepath.Join(filepath.Dir(j.o.Tree), "host-root")
	if err := j.o.Holder.MakeRoot(ctx, temp); err != nil {
		return nil, err
	}
	err := j.runForeign(ctx, name, temp)
	// Also when the caller has given up: nothing of ours is to stay.
	if err = errors.Join(err, j.o.Holder.RemoveTree(context.WithoutCancel(ctx), temp)); err != nil {
		return nil, err
	}
	jail, err := j.openJail(ctx)
	if err != nil {
		return nil, err
	}
	if err := j.apply(ctx, jail, "finish", j.finished(j.o.Repos)); err != nil {
		return nil, err
	}
	if _, err := jail.Close(); err != nil {
		return nil, err
	}
	j.phase(name, start)
	return j.finish(ctx, &Result{}, nil)
}

// runForeign runs the program over a root of which only the mount points are ours.
func (j *job) runForeign(ctx context.Context, name, root string) error {
	spec := sandbox.Spec{Root: sandbox.Root{Dir: root}, Network: sandbox.NetworkHost, Mounts: []sandbox.Mount{
		{Type: "bind", Source: j.o.Tree, Target: jailTarget, Mkdir: true},
		{Type: "tmpfs", Target: "/tmp", Data: "mode=1777", Mkdir: true},
		{Type: "tmpfs", Target: "/var", Data: "mode=0755", Mkdir: true},
		{Type: "tmpfs", Target: "/run", Data: "mode=0755", Mkdir: true},
	}}
	var links [][2]string
	for _, dir := range []string{"/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		if to, err := os.Readlink(dir); err == nil {
			links = append(links, [2]string{to, dir})
		} else if _, err := os.Stat(dir); err == nil {
			spec.Mounts = append(spec.Mounts, sandbox.Mount{Type: "rbind", Source: dir, Target: dir, ReadOnly: true, Mkdir: true})
		}
	}
	jail, err := j.o.Holder.NewJail(ctx, spec)
	if err != nil {
		return err
	}
	err = j.inForeign(ctx, jail, name, links)
	_, closeErr := jail.Close()
	return errors.Join(err, closeErr)
}

// inForeign completes the root with the host's links and runs the program there.
func (j *job) inForeign(ctx context.Context, jail *sandbox.Jail, name string, links [][2]string) error {
	for _, l := range links {
		if err := jail.Symlink(l[0], l[1]); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/var/tmp", "/var/lib/dpkg", "/var/cache/apt"} {
		if err := jail.Mkdir(dir, 0o755, 0, 0); err != nil {
			return err
		}
	}
	argv, err := j.foreignCommand(name)
	if err != nil {
		return err
	}
	r, err := j.start(jail, sandbox.Command{Argv: argv, Env: append(j.scriptEnv(), "container=lxc", "TMPDIR=/tmp")})
	if err != nil {
		return err
	}
	return r.finish(ctx, name)
}

// foreignCommand is the program's command line. It verifies the archive by itself, with the keyring that the suite is known to be signed by.
func (j *job) foreignCommand(name string) ([]string, error) {
	if len(j.o.Releases) == 0 {
		return nil, fmt.Errorf("%s: no suite is given", name)
	}
	repo := j.o.Releases[0].Repo()
	components := strings.Join(repo.Components, ",")
	var keyring string
	for _, k := range repo.Keyrings {
		if !filepath.IsAbs(k) {
			k = filepath.Join("/usr/share/keyrings", k)
		}
		if _, err := os.Stat(k); err == nil {
			keyring = k
		}
	}
	var argv []string
	if name == Debootstrap && (j.o.Variant == VariantStandard || j.o.Variant == VariantEssential) {
		return nil, fault.New(fault.Usage, "use --bootstrapper native or mmdebstrap", "debootstrap has no variant %s", j.o.Variant)
	}
	if name == Debootstrap {
		argv = []string{"debootstrap", "--arch=" + j.o.Arch, "--components=" + components}
		if j.o.Variant != VariantDefault {
			argv = append(argv, "--variant="+j.o.Variant)
		}
	} else {
		variant := j.o.Variant
		switch variant {
		case VariantDefault:
			variant = "important"
		case VariantEssential:
			variant = "apt"
		}
		argv = []string{"mmdebstrap", "--mode=root", "--architectures=" + j.o.Arch, "--components=" + components, "--variant=" + variant, "--skip=check/empty"}
	}
	if keyring != "" {
		argv = append(argv, "--keyring="+keyring)
	} else if repo.Trusted && name == Debootstrap {
		argv = append(argv, "--no-check-gpg")
	}
	if len(j.o.Include) > 0 {
		argv = append(argv, "--include="+strings.Join(j.o.Include, ","))
	}
	if len(j.o.Exclude) > 0 {
		if name == Mmdebstrap {
			return nil, fault.New(fault.Usage, "use --bootstrapper native or debootstrap", "mmdebstrap leaves no package out")
		}
		argv = append(argv, "--exclude="+strings.Join(j.o.Exclude, ","))
	}
	return append(argv, repo.Suite, jailTarget, repo.URI), nil
}
