package gitsrc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"nsbuild/internal/fault"
)

// Upstream is the upstream version that tarballs are wanted of.
type Upstream struct{ Name, Version string }

// tarball is a name, without the end that tells the compression.
func (u Upstream) tarball(component string) string {
	if component != "" {
		component = "-" + component
	}
	return u.Name + "_" + u.Version + ".orig" + component + ".tar."
}

// compressor is one of the programs that gbp compresses tarballs with.
type compressor struct{ name, ext string }

func compressors() []compressor {
	return []compressor{{"gzip", "gz"}, {"bzip2", "bz2"}, {"lzma", "lzma"}, {"xz", "xz"}}
}

// compressorOf finds one by its name, a short name of it, or the end of a file's name.
func compressorOf(word string) (compressor, bool) {
	for _, c := range compressors() {
		if word == c.name || word == c.ext {
			return c, true
		}
	}
	return compressor{}, false
}

// Complete tells whether files have the upstream tarball, and one for each component, in the
// compression that gbp.conf asks for.
func (c Config) Complete(u Upstream, files []string) bool {
	asked, is := compressorOf(c.Compression)
	for _, component := range append([]string{""}, c.Components...) {
		found := false
		for _, file := range files {
			ext, ok := strings.CutPrefix(filepath.Base(file), u.tarball(component))
			found = found || ok && !strings.Contains(ext, ".") && (!is || ext == asked.ext)
		}
		if !found {
			return false
		}
	}
	return true
}

// Orig makes the upstream tarballs of a source in a directory: with pristine-tar where the
// repository has them, else of the tree that gbp.conf says. It returns how they were made.
func (r *Repository) Orig(ctx context.Context, conf Config, u Upstream, into string) (
	how string, err error) {
	if conf.PristineTar != Off {
		how, err := r.pristine(ctx, conf, u, into)
		if how != "" || err != nil {
			return how, err
		}
	}
	tree, err := r.upstreamTree(ctx, conf, u)
	if err != nil {
		return "", err
	}
	return "git archive " + tree.name, r.archives(ctx, conf, u, tree, into)
}

// tree is one that an upstream tarball is made of.
type tree struct{ name, id string }

// upstreamTree is the tree that gbp would make the upstream tarball of.
func (r *Repository) upstreamTree(ctx context.Context, conf Config, u Upstream) (
	t tree, err error) {
	t.name = conf.UpstreamTree
	hint := "correct upstream-tree in gbp.conf, or put the tarball beside the source directory"
	switch strings.ToUpper(conf.UpstreamTree) {
	case "TAG":
		if t.name, err = conf.tag(u.Version); err != nil {
			return t, fault.Wrap(fault.GivenBack, "correct gbp.conf", err)
		}
		hint = "git fetch --tags, or put the tarball beside the source directory"
	case "BRANCH":
		t.name = conf.UpstreamBranch
		hint = fmt.Sprintf(
			"git branch %s origin/%s, or put the tarball beside the source directory", t.name,
			t.name)
		if is, err := r.has(ctx, "refs/heads/"+t.name); err != nil || !is {
			return t, errors.Join(err, r.noTree(u, "branch "+t.name, hint))
		}
	case "SLOPPY":
		t.name = conf.DebianBranch
		hint = "set debian-branch in gbp.conf, or put the tarball beside the source directory"
	}
	if strings.HasPrefix(t.name, "-") {
		return t, fault.New(fault.GivenBack, "correct gbp.conf",
			"upstream tree %q: no name of a commit begins so", t.name)
	}
	is, err := r.has(ctx, t.name)
	if err != nil || !is {
		return t, errors.Join(err, r.noTree(u, t.name, hint))
	}
	t.id = t.name
	if strings.EqualFold(conf.UpstreamTree, "SLOPPY") {
		t.name += " without debian/"
		t.id, err = r.without(ctx, t.id, []string{"debian"})
	}
	return t, err
}

func (r *Repository) noTree(u Upstream, what, hint string) error {
	return fault.New(fault.GivenBack, hint,
		"there is no upstream tarball for version %s, and the repository has no %s to make it of",
		u.Version, what)
}

// without makes a tree that lacks some directories of another. It is wrapped in a commit: what is
// archived of a bare tree has the time of now.
func (r *Repository) without(ctx context.Context, from string, dirs []string) (string, error) {
	all, err := r.git(ctx, "ls-tree", "-z", "--full-tree", from+"^{tree}")
	if err != nil {
		return "", err
	}
	var kept strings.Builder
	for line := range strings.SplitSeq(strings.TrimSuffix(all, "\x00"), "\x00") {
		head, name, _ := strings.Cut(line, "\t")
		drop := false
		for _, dir := range dirs {
			drop = drop || name == dir && strings.Contains(head, " tree ")
		}
		if !drop {
			kept.WriteString(line + "\x00")
		}
	}
	c := r.command("mktree", "-z")
	c.In = strings.NewReader(kept.String())
	var id string
	err = r.read(ctx, c, func(in io.Reader) error {
		line, err := io.ReadAll(io.LimitReader(in, 1<<10))
		id = strings.TrimSpace(string(line))
		return err
	})
	return id, err
}

// commit makes a commit of a tree, as old as what it comes from, or else as the last commit.
func (r *Repository) commit(ctx context.Context, id, from string) (string, error) {
	age, err := r.git(ctx, "log", "-1", "--no-show-signature", "--format=%ct", from, "--")
	if failed := (*Failure)(nil); errors.As(err, &failed) { // it is no commit
		age, err = r.git(ctx, "log", "-1", "--no-show-signature", "--format=%ct", "HEAD", "--")
	}
	if err != nil {
		return "", err
	}
	c := r.command("commit-tree", "-m", "upstream", id)
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		c.Env = append(c.Env, "GIT_"+who+"_NAME=nsbuild", "GIT_"+who+"_EMAIL=nsbuild@localhost",
			"GIT_"+who+"_DATE=@"+strings.TrimSpace(age)+" +0000")
	}
	var made string
	err = r.read(ctx, c, func(in io.Reader) error {
		line, err := io.ReadAll(io.LimitReader(in, 1<<10))
		made = strings.TrimSpace(string(line))
		return err
	})
	return made, err
}

// archives makes the upstream tarball, and one of each component's directory.
func (r *Repository) archives(ctx context.Context, conf Config, u Upstream, from tree,
	into string) error {
	comp, err := r.compression(ctx, conf, u)
	if err != nil {
		return err
	}
	whole := from.id
	if len(conf.Components) > 0 {
		if whole, err = r.without(ctx, from.id, conf.Components); err != nil {
			return err
		}
	}
	if whole != from.name {
		if whole, err = r.commit(ctx, whole, from.name); err != nil {
			return err
		}
	}
	if err := r.archive(ctx, conf, u, comp, whole, "", into); err != nil {
		return err
	}
	for _, component := range conf.Components {
		id, err := r.git(ctx, "rev-parse", "--verify", "--quiet", from.id+":"+component)
		if failed := (*Failure)(nil); errors.As(err, &failed) {
			return fault.New(fault.GivenBack, "correct component in gbp.conf",
				"%s has no directory %s to make a tarball of", from.name, component)
		}
		if err == nil {
			id, err = r.commit(ctx, strings.TrimSpace(id), from.name)
		}
		if err == nil {
			err = r.archive(ctx, conf, u, comp, id, component, into)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// archive makes one tarball. Attributes (export-ignore, export-subst …) count: it is git archive's.
func (r *Repository) archive(ctx context.Context, conf Config, u Upstream, comp compressor, id,
	component, into string) error {
	prefix := u.Name + "-" + u.Version + "/"
	file := u.tarball(component) + comp.ext
	raw := path.Join(jailWork, "orig.tar")
	if _, err := r.git(ctx, "archive", "--format=tar", "--prefix="+prefix, "--output="+raw,
		id); err != nil {
		return err
	}
	if conf.Submodules {
		if err := r.addSubmodules(ctx, id, prefix, raw, 0); err != nil {
			return err
		}
	}
	c := Command{Argv: []string{comp.name}, Dir: jailWork}
	if conf.CompressionLevel != "" {
		c.Argv = append(c.Argv, "-"+conf.CompressionLevel)
	}
	if comp.name == "gzip" {
		c.Argv = append(c.Argv, "-n")
	}
	c.Argv = append(c.Argv, "-c", raw)
	return r.bring(ctx, c, filepath.Join(into, file))
}

// jailWork is where the jail has room for what is made in it.
const jailWork = "/tmp"

// addSubmodules adds the files of a tree's submodules to an archive of it.
func (r *Repository) addSubmodules(ctx context.Context, id, prefix, raw string, depth int) error {
	all, err := r.tree(ctx, id)
	if err != nil {
		return err
	}
	for _, e := range all {
		if e.mode != modeSubmodule {
			continue
		}
		if depth == maxDepth {
			return fmt.Errorf("submodule %s: too deep in others", e.path)
		}
		sub, err := r.submodule(e)
		if err != nil {
			return err
		}
		below := prefix + e.path + "/"
		part := path.Join(jailWork, "part.tar")
		if _, err := sub.git(ctx, "archive", "--format=tar", "--prefix="+below, "--output="+part,
			e.id); err != nil {
			return err
		}
		join := Command{Argv: []string{"tar", "-A", "-f", raw, part}, Dir: jailWork}
		if err := r.jail.Run(ctx, join, io.Discard); err != nil {
			return err
		}
		if err := sub.addSubmodules(ctx, e.id, below, raw, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// bring takes what a command prints out of the jail, into a new file.
func (r *Repository) bring(ctx context.Context, c Command, file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	err = r.jail.Run(ctx, c, f)
	if errors.Is(err, fs.ErrNotExist) {
		err = fault.New(fault.GivenBack, "apt install "+debianPackage(c.Argv[0]), "there is no %s",
			c.Argv[0])
	}
	return errors.Join(err, f.Close())
}

// debianPackage has a program.
func debianPackage(program string) string {
	if program == "xz" || program == "lzma" {
		return "xz-utils"
	}
	return program
}

// compression is what gbp would choose: what is said; else what pristine-tar had last; else gzip.
func (r *Repository) compression(ctx context.Context, conf Config, u Upstream) (compressor, error) {
	if c, ok := compressorOf(conf.Compression); ok {
		return c, nil
	}
	gzip := compressors()[0]
	for _, branch := range []string{"refs/heads/pristine-tar", "refs/remotes/origin/pristine-tar"} {
		is, err := r.has(ctx, branch)
		if err != nil {
			return gzip, err
		}
		if !is {
			continue
		}
		log, err := r.git(ctx, "log", "--no-show-signature", "--no-merges", "--format=%s", branch,
			"--")
		if err != nil {
			return gzip, err
		}
		return compressionOf(log, u, gzip), nil
	}
	return gzip, nil
}

// compressionOf reads the compression off the subjects of pristine-tar's commits: the last about
// this version, else the last.
func compressionOf(log string, u Upstream, otherwise compressor) compressor {
	subjects := strings.Split(log, "\n")
	subject := subjects[0]
	for _, s := range subjects {
		if strings.Contains(s, "pristine-tar ") && strings.Contains(s, u.tarball("")) {
			subject = s
			break
		}
	}
	if c, ok := compressorOf(subject[strings.LastIndexByte(subject, '.')+1:]); ok {
		return c
	}
	return otherwise
}
