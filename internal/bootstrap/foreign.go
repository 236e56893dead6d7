package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// Where a bootstrapper of the host sees the tree, the archive if that is a directory, and the keys
// that may sign it.
const (
	jailTarget  = "/target"
	jailMirror  = "/mirror"
	jailKeyring = "/run/archive-keyring.gpg"
)

// foreign runs the host's debootstrap or mmdebstrap, in a jail that shows the host's programs and
// has the network.
func (j *job) foreign(ctx context.Context) (*Result, error) {
	start := time.Now()
	name := j.o.Bootstrapper
	if _, err := exec.LookPath(name); err != nil {
		if _, err := os.Stat("/usr/sbin/" + name); err != nil { // a user's PATH lacks /usr/sbin
			return nil,
				fault.New(fault.Usage, "sudo apt-get install "+name+", or leave --bootstrapper out",
					"%s is not installed", name)
		}
	}
	argv, err := j.foreignCommand(name)
	if err != nil {
		return nil, err
	}
	j.begin(name)
	temp := filepath.Join(filepath.Dir(j.o.Tree), "host-root")
	if err := j.o.Holder.MakeRoot(ctx, temp); err != nil {
		return nil, err
	}
	err = j.runForeign(ctx, argv, temp)
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

// resolverFile says where the program finds name servers.
const resolverFile = "/etc/resolv.conf"

// runForeign runs the program over a root of which only the mount points are ours.
func (j *job) runForeign(ctx context.Context, argv []string, root string) error {
	spec := sandbox.Spec{Root: sandbox.Root{Dir: root}, Network: sandbox.NetworkHost,
		Mounts: []sandbox.Mount{
			{Type: "bind", Source: j.o.Tree, Target: jailTarget, Mkdir: true},
			{Type: "tmpfs", Target: "/tmp", Data: "mode=1777", Mkdir: true},
			{Type: "tmpfs", Target: "/var", Data: "mode=0755", Mkdir: true},
			{Type: "tmpfs", Target: "/run", Data: "mode=0755", Mkdir: true},
		}}
	var links [][2]string
	for _, dir := range []string{"/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64",
		"/libx32"} {
		if to, err := os.Readlink(dir); err == nil {
			links = append(links, [2]string{to, dir})
		} else if _, err := os.Stat(dir); err == nil {
			spec.Mounts = append(spec.Mounts, sandbox.Mount{Type: "rbind", Source: dir, Target: dir,
				ReadOnly: true, Mkdir: true})
		}
	}
	// The file is often a link into /run, which is empty here.
	if _, err := os.Stat(resolverFile); err == nil {
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Type: "bind", Source: resolverFile,
			Target: resolverFile, ReadOnly: true})
	}
	if dir := localMirror(j.o.Releases[0].Repo()); dir != "" {
		spec.Mounts = append(spec.Mounts,
			sandbox.Mount{Type: "bind", Source: dir, Target: jailMirror, ReadOnly: true,
				Mkdir: true})
	}
	jail, err := j.o.Holder.NewJail(ctx, spec)
	if err != nil {
		return err
	}
	err = j.inForeign(ctx, jail, argv, links)
	_, closeErr := jail.Close()
	return errors.Join(err, closeErr)
}

// localMirror is the directory that a repository is in, if it is in one.
func localMirror(r aptconf.Repo) string {
	u, err := url.Parse(r.URI)
	if err != nil || u.Scheme != "file" && u.Scheme != "copy" {
		return ""
	}
	return u.Path
}

// inForeign completes the root with the host's links and the keys, and runs the program there.
func (j *job) inForeign(ctx context.Context, jail jails.Jail, argv []string,
	links [][2]string) error {
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
	repo := j.o.Releases[0].Repo()
	if !repo.Trusted {
		if err := j.writeKeys(jail, repo); err != nil {
			return err
		}
	}
	env := append(j.scriptEnv(), "container=lxc", "TMPDIR=/tmp")
	proxy, err := j.o.Client.Proxy(repo.URI)
	if err != nil {
		return err
	}
	if proxy != "" {
		env = append(env, "http_proxy="+proxy, "https_proxy="+proxy)
	}
	r, err := j.start(jail, sandbox.Command{Argv: argv, Env: env})
	if err != nil {
		return err
	}
	return r.finish(ctx, j.o.Bootstrapper)
}

// writeKeys writes the very keys by which nsbuild verified the repository: the program's own idea
// of them may be a file that the host does not have, and debootstrap then verifies nothing.
func (j *job) writeKeys(jail jails.Jail, repo aptconf.Repo) error {
	keys, err := j.o.Client.Keyring(repo)
	if err != nil {
		return err
	}
	f, err := jail.Create(jailKeyring, 0o644, 0, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(keys)
	return errors.Join(err, f.Close())
}

// foreignCommand is the program's command line. It fetches and verifies the archive by itself.
func (j *job) foreignCommand(name string) ([]string, error) {
	if len(j.o.Releases) == 0 {
		return nil, fmt.Errorf("%s: no suite is given", name)
	}
	repo := j.o.Releases[0].Repo()
	if strings.HasSuffix(repo.Suite, "/") {
		return nil,
			fault.New(fault.Usage, "name the suite itself first, or use --bootstrapper native",
				"%s makes no base of a flat repository (%s)", name, repo)
	}
	if name == Debootstrap {
		return j.debootstrapCommand(repo)
	}
	return j.mmdebstrapCommand(repo)
}

func (j *job) debootstrapCommand(repo aptconf.Repo) ([]string, error) {
	if j.o.Variant == VariantStandard || j.o.Variant == VariantEssential {
		return nil, fault.New(fault.Usage, "use --bootstrapper native or mmdebstrap",
			"debootstrap has no variant %s", j.o.Variant)
	}
	argv := []string{Debootstrap, "--arch=" + j.o.Arch,
		"--components=" + strings.Join(repo.Components, ",")}
	if j.o.Variant != VariantDefault {
		argv = append(argv, "--variant="+j.o.Variant)
	}
	if repo.Trusted {
		argv = append(argv, "--no-check-gpg")
	} else {
		argv = append(argv, "--force-check-gpg", "--keyring="+jailKeyring)
	}
	if len(j.o.Include) > 0 {
		argv = append(argv, "--include="+strings.Join(j.o.Include, ","))
	}
	if len(j.o.Exclude) > 0 {
		argv = append(argv, "--exclude="+strings.Join(j.o.Exclude, ","))
	}
	uri := repo.URI
	if localMirror(repo) != "" {
		uri = "file:" + jailMirror
	}
	return append(argv, repo.Suite, jailTarget, uri), nil
}

func (j *job) mmdebstrapCommand(repo aptconf.Repo) ([]string, error) {
	if len(j.o.Exclude) > 0 {
		return nil, fault.New(fault.Usage, "use --bootstrapper native or debootstrap",
			"mmdebstrap leaves no package out")
	}
	variant := j.o.Variant
	switch variant {
	case VariantDefault:
		variant = "important"
	case VariantEssential:
		variant = "apt"
	}
	argv := []string{Mmdebstrap, "--mode=root", "--architectures=" + j.o.Arch,
		"--variant=" + variant, "--skip=check/empty"}
	include := j.o.Include
	// where apt is of Priority: important, mmdebstrap's has none; it installs what builds need
	if variant == VariantMinbase {
		include = append([]string{"apt"}, include...)
	}
	if len(include) > 0 {
		argv = append(argv, "--include="+strings.Join(include, ","))
	}
	uri := repo.URI
	if localMirror(repo) != "" {
		// Of file: apt makes no copies, which dpkg then seeks within the tree. Whoever fetches must
		// be able to read what may be the user's alone.
		uri = "copy:" + jailMirror
		argv = append(argv, `--aptopt=APT::Sandbox::User "root"`)
	}
	option := "signed-by=" + jailKeyring
	if repo.Trusted {
		option = "trusted=yes"
	}
	// A whole line, because to a bare URI mmdebstrap adds the keyring that it thinks right.
	return append(argv, repo.Suite, jailTarget, fmt.Sprintf("deb [%s] %s %s %s", option, uri,
		repo.Suite, strings.Join(repo.Components, " "))), nil
}
