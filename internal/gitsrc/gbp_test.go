package gitsrc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

// gbpConf is a set of configuration files, and what gbp buildpackage makes of it. Most are of the
// forms that packages in public repositories have.
type gbpConf struct {
	name  string
	files map[string]string // below the source directory; "~" is the home
	env   string            // GBP_CONF_FILES
	want  string            // what differs from the defaults; "error" for what gbp refuses, too
}

func debianConf(name, text, want string) gbpConf {
	return gbpConf{name: name, files: map[string]string{"debian/gbp.conf": text}, want: want}
}

func gbpConfs() []gbpConf {
	return []gbpConf{
		{name: "none"},
		debianConf("branch and pristine-tar",
			"[DEFAULT]\ndebian-branch = stable-backports\npristine-tar = True\n\n",
			"debian-branch=stable-backports pristine-tar=on"),
		debianConf("comments, filter", "# build: gbp buildpackage\n\n[DEFAULT]\npristine-tar = "+
			"True\nsign-tags = True\nfilter = */.git*\ndebian-branch = "+
			"debian/latest\nupstream-branch = upstream/latest\n",
			"debian-branch=debian/latest pristine-tar=on upstream-branch=upstream/latest"),
		debianConf("tags by suite, old section of another command", "[DEFAULT]\ndebian-tag = "+
			"x/%(version)s\nupstream-branch = upstream-old\nupstream-tag = "+
			"upstream-old/%(version)s\npristine-tar = True\n\n[git-dch]\nmeta = 1\n",
			"pristine-tar=on upstream-branch=upstream-old upstream-tag=upstream-old/%(version)s"),
		debianConf("export-dir", "[DEFAULT]\nupstream-branch = "+
			"upstream\n\n[buildpackage]\nexport-dir = ../build-area/\n",
			"export-dir=../build-area/"),
		debianConf("tag with a name", "[DEFAULT]\npristine-tar = True\nupstream-branch = "+
			"master\nupstream-tag = foo-%(version)s\n",
			"pristine-tar=on upstream-branch=master upstream-tag=foo-%(version)s"),
		debianConf("commented out",
			"[DEFAULT]\n#debian-branch = main\nupstream-tag = %(version)s\n",
			"upstream-tag=%(version)s"),
		debianConf("no blanks, hook with quotes",
			"[DEFAULT]\ndebian-tag=v%(version)s\ndebian-branch=main\n\n[buildpackage]\nexport=INDEX\nprebuild=find . -exec grep -qs \"x\" {} \\; -print\n\n[dch]\nmultimaint-merge=True\n", "debian-branch=main"),
		debianConf("pristine-tar-commit",
			"[DEFAULT]\npristine-tar-commit = True\nupstream-tag = %(version)s\n",
			"pristine-tar-commit=true upstream-tag=%(version)s"),
		debianConf("lower case tree", "[DEFAULT]\nupstream-tree=branch\nupstream-branch=master\n",
			"upstream-branch=master upstream-tree=branch"),
		debianConf("a tag with a tail",
			"[DEFAULT]\nupstream-branch=master\nupstream-tag=v%(version)s-1\n",
			"upstream-branch=master upstream-tag=v%(version)s-1"),
		debianConf("old section, lower case",
			"[git-buildpackage]\nupstream-tag = %(version)s\npristine-tar = false\n",
			"pristine-tar=off upstream-tag=%(version)s"),
		debianConf(
			"bloom's",
			"[git-buildpackage]\nupstream-tag=release/x/pkg/0.4.1-2\nupstream-tree=tag\n",
			"upstream-tag=release/x/pkg/0.4.1-2 upstream-tree=tag"),
		debianConf("Python in a value, regular expressions", "[DEFAULT]\nsnapshot-number = "+
			"os.popen(\"git-log | wc -l\").readlines()[0]\npostbuild = lintian "+
			"$GBP_CHANGES_FILE\npbuilder = true\npristine-tar = "+
			"True\n\n\n[git-dch]\nignore-regex = "+
			"(Signed-off|Acked)-by:\n\n[git-import-orig]\npostimport = git-dch -N%(version)s -S -a\n", "pristine-tar=on"),
		debianConf("small letters", "[DEFAULT]\npristine-tar = true\n", "pristine-tar=on"),
		debianConf("section over default",
			"[DEFAULT]\nupstream-branch=upstream/latest\n\n[buildpackage]\nupstream-branch=dfsg/latest\n", "upstream-branch=dfsg/latest"),
		debianConf("DEP14 and a list", "[DEFAULT]\npristine-tar = True\nfilter = "+
			"['debian']\nupstream-branch = upstream/latest\ndist = DEP14\n",
			"pristine-tar=on upstream-branch=upstream/latest"),
		debianConf("a ref as tag", "[DEFAULT]\n# any branch\nupstream-tag=origin/master\n",
			"upstream-tag=origin/master"),
		debianConf("xz",
			"[DEFAULT]\nupstream-tag = v%(version)s\npristine-tar = False\ncompression = xz\n", "compression=xz pristine-tar=off upstream-tag=v%(version)s"),
		debianConf("tarball-dir", "[DEFAULT]\npristine-tar = "+
			"False\n\n[buildpackage]\nupstream-branch=master\nupstream-tag=v%(version)s\ntarball-dir=../tarballs/\n",
			"pristine-tar=off tarball-dir=../tarballs/ upstream-branch=master "+
				"upstream-tag=v%(version)s"),
		debianConf("builder, export-dir in both", "[DEFAULT]\nupstream-tag = "+
			"v%(version)s\nbuilder = sbuild\nexport-dir = ../x\n\n[buildpackage]\nexport-dir = "+
			"../build-area/\n", "export-dir=../build-area/ upstream-tag=v%(version)s"),
		debianConf("no newline at the end", "[buildpackage]\nupstream-tree = "+
			"master\nforce-create = True\nsubmodules = True\n# tag = True",
			"force-create=true submodules=true upstream-tree=master"),
		debianConf("components",
			"[DEFAULT]\npristine-tar = True\ncomponent = ['data', \"docs-x\"]\n",
			"components=data,docs-x pristine-tar=on"),
		debianConf("components on several lines",
			"[DEFAULT]\ncomponents = [\n    'data',\n    'docs',\n  ]\n", "components=data,docs"),
		debianConf("one component", "[DEFAULT]\ncomponent = data\n", "components=data"),
		debianConf("both forms of components", "[DEFAULT]\ncomponent = data\ncomponents = ['a']\n",
			"error"),
		debianConf("no list", "[DEFAULT]\ncomponent = ['data'\n", "error"),
		debianConf("mangled tag", "[DEFAULT]\nupstream-tag = REL_%(version%.%_)s\n",
			"upstream-tag=REL_%(version%.%_)s"),
		debianConf("hversion", "[DEFAULT]\nupstream-tag = foo-%(hversion)s\n",
			"upstream-tag=foo-%(hversion)s"),
		debianConf("overlay",
			"[DEFAULT]\noverlay = True\nexport-dir = ../build-area\ntarball-dir = "+
				"../tarballs\n", "export-dir=../build-area overlay=true tarball-dir=../tarballs"),
		debianConf("signatures", "[DEFAULT]\nupstream-signatures = on\n", "signatures=on"),
		debianConf("signatures, unknown word", "[DEFAULT]\nupstream-signatures = never\n",
			"signatures=off"),
		debianConf("colons, capital keys, indented comments",
			"[DEFAULT]\nUpstream-Branch: main\n   # a comment\n; another\ndebian-branch : x\n",
			"debian-branch=x upstream-branch=main"),
		debianConf("a value that goes on",
			"[DEFAULT]\nupstream-tag = v%(version)s\n  more\n\n  and more\ndebian-branch = x\n",
			"debian-branch=x upstream-tag=v%(version)s\\nmore\\n\\nand more"),
		debianConf("an indented section is a value",
			"[DEFAULT]\ndebian-branch = x\n  [buildpackage]\nupstream-branch = y\n",
			"debian-branch=x\\n[buildpackage] upstream-branch=y"),
		debianConf("carriage returns", "[DEFAULT]\r\npristine-tar = True\r\ndebian-branch = x\r\n",
			"debian-branch=x pristine-tar=on"),
		debianConf("a comment behind a word", "[DEFAULT]\npristine-tar = True # yes\nsubmodules "+
			"= 1 # yes\nupstream-branch = x # no\n",
			"pristine-tar=on submodules=true upstream-branch=x # no"),
		debianConf("a comment without a blank", "[DEFAULT]\npristine-tar = True #yes\n", "error"),
		debianConf("yes", "[DEFAULT]\npristine-tar = yes\n", "error"),
		debianConf("quotes stay", "[DEFAULT]\nupstream-tag = 'v%(version)s'\n",
			"upstream-tag='v%(version)s'"),
		debianConf("no section", "pristine-tar = True\n", "error"),
		debianConf("no equals sign", "[DEFAULT]\npristine-tar\n", "error"),
		debianConf("twice", "[DEFAULT]\ndebian-branch = a\ndebian-branch = b\n", "error"),
		debianConf("section twice",
			"[buildpackage]\ndebian-branch = a\n[buildpackage]\nupstream-branch = b\n", "error"),
		debianConf("DEFAULT twice",
			"[DEFAULT]\ndebian-branch = a\n[dch]\n[DEFAULT]\nupstream-branch = b\n",
			"debian-branch=a upstream-branch=b"),
		debianConf("empty values",
			"[DEFAULT]\ntarball-dir =\nexport-dir =\ncomponent =\ndebian-branch = a\n",
			"debian-branch=a"),
		debianConf("other commands", "[export-orig]\nupstream-tag = a\n[pull]\ndebian-branch = "+
			"b\n[default]\nupstream-branch = c\n", ""),
		debianConf("old names of the section", "[DEFAULT]\ndebian-branch = d\nupstream-branch = "+
			"d\nupstream-tree = d\n[gbp-buildpackage]\ndebian-branch = a\nupstream-tag = "+
			"a\nupstream-branch = a\n[git-buildpackage]\nupstream-tag = "+
			"b\n[buildpackage]\nupstream-tree = c\n",
			"debian-branch=d upstream-branch=d upstream-tag=b upstream-tree=c"),
		debianConf(
			"levels",
			"[DEFAULT]\ncompression = bzip2\ncompression-level = 9\nno-create-orig = True\n",
			"compression-level=9 compression=bzip2 no-create-orig=true"),
		{name: "all places", want: "compression=home debian-branch=old pristine-tar=on " +
			"tarball-dir=git upstream-branch=debian upstream-tag=home",
			files: map[string]string{
				"~/.gbp.conf": "[DEFAULT]\ncompression = home\nupstream-branch = " +
					"home\npristine-tar = False\n[buildpackage]\nupstream-tag = home\n",
				".gbp.conf": "[DEFAULT]\ndebian-branch = old\nupstream-branch = " +
					"old\nupstream-tag = old\npristine-tar = True\n",
				"debian/gbp.conf": "[DEFAULT]\nupstream-branch = debian\ntarball-dir = debian\n",
				".git/gbp.conf":   "[DEFAULT]\ntarball-dir = git\n"}},
		{name: "GBP_CONF_FILES", env: "~/mine:%(top_dir)s/debian/other:%(git_dir)s/x:missing",
			want: "debian-branch=c upstream-branch=b upstream-tag=a",
			files: map[string]string{
				"~/mine":          "[DEFAULT]\nupstream-tag = a\nupstream-branch = a\ndebian-branch = a\n",
				"debian/other":    "[DEFAULT]\nupstream-branch = b\n",
				".git/x":          "[DEFAULT]\ndebian-branch = c\n",
				"debian/gbp.conf": "[DEFAULT]\nupstream-tag = z\n",
				"~/.gbp.conf":     "[DEFAULT]\nupstream-tag = z\n"}},
		debianConf("variables and homes in paths", "[DEFAULT]\ntarball-dir = "+
			"~/t/$USER_OF_TEST/${USER_OF_TEST}x/$NOT_SET\nexport-dir = ~nobody-of-that-name/x\n",
			"export-dir=~nobody-of-that-name/x tarball-dir=HOME/t/me/mex/$NOT_SET"),
	}
}

// lay writes the files of a configuration into a new repository, and returns what stands for its
// environment.
func (c gbpConf) lay(t *testing.T) (dir, home string) {
	t.Helper()
	dir, home = filepath.Join(t.TempDir(), "pkg"), t.TempDir()
	for _, part := range []string{"objects", "refs"} {
		check(t, os.MkdirAll(filepath.Join(dir, ".git", part), 0o755))
	}
	check(t, os.WriteFile(filepath.Join(dir, ".git/HEAD"), []byte("ref: refs/heads/master\n"),
		0o644))
	for name, text := range c.files {
		file := filepath.Join(dir, name)
		if rest, ok := strings.CutPrefix(name, "~"); ok {
			file = home + rest
		}
		check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		check(t, os.WriteFile(file, []byte(text), 0o644))
	}
	return dir, home
}

// say writes what differs from the defaults, in the words of gbpConf.want.
func say(c Config, path func(Dir) string) string {
	d := DefaultConfig()
	var out []string
	add := func(key, value, otherwise string) {
		if value != otherwise {
			out = append(out, key+"="+strings.ReplaceAll(value, "\n", `\n`))
		}
	}
	state := map[Switch]string{On: "on", Off: "off", Auto: ""}
	flag := func(b bool) string { return strconv.FormatBool(b) }
	add("components", strings.Join(c.Components, ","), "")
	add("compression-level", c.CompressionLevel, "")
	add("compression", c.Compression, d.Compression)
	add("debian-branch", c.DebianBranch, d.DebianBranch)
	add("export-dir", path(c.ExportDir), "")
	add("force-create", flag(c.ForceCreate), "false")
	add("no-create-orig", flag(c.NoCreateOrig), "false")
	add("overlay", flag(c.Overlay), "false")
	add("pristine-tar-commit", flag(c.PristineTarCommit), "false")
	add("pristine-tar", state[c.PristineTar], "")
	add("signatures", state[c.Signatures], "")
	add("submodules", flag(c.Submodules), "false")
	add("tarball-dir", path(c.TarballDir), "")
	add("upstream-branch", c.UpstreamBranch, d.UpstreamBranch)
	add("upstream-tag", c.UpstreamTag, d.UpstreamTag)
	add("upstream-tree", c.UpstreamTree, d.UpstreamTree)
	return strings.Join(out, " ")
}

func (c gbpConf) getenv(home string) func(string) string {
	return func(name string) string {
		return map[string]string{"HOME": home, "GBP_CONF_FILES": c.env, "USER_OF_TEST": "me"}[name]
	}
}

func TestReadConfig(t *testing.T) {
	testenv.RequireTool(t, "git")
	for _, c := range gbpConfs() {
		dir, home := c.lay(t)
		l, err := Locate(dir)
		check(t, err)
		conf, err := ReadConfig(l, c.getenv(home))
		got := "error"
		if err == nil {
			got = say(conf, func(d Dir) string {
				return strings.ReplaceAll(
					expandUser(os.Expand(d.Name, kept(c.getenv(home))), c.getenv(home)), home,
					"HOME")
			})
		}
		if got != c.want {
			t.Errorf("%s: %s (%v)\nwant: %s", c.name, got, err, c.want)
		}
	}
}

// oracle has gbp read the configuration of each directory that it is told of.
const oracle = `
import io, json, os, sys, contextlib
sys.dont_write_bytecode = True
from gbp.scripts import buildpackage
for line in sys.stdin:
    c = json.loads(line)
    os.chdir(c["dir"])
    os.environ.update({"HOME": c["home"], "GBP_CONF_FILES": c["env"], "USER_OF_TEST": "me"})
    if not c["env"]: del os.environ["GBP_CONF_FILES"]
    answer = {"error": True}
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            o = buildpackage.parse_args(["buildpackage"], "git-")[0]
            if o:
                answer = {k: getattr(o, k) for k in ("upstream_tag", "upstream_branch", "upstream_tree", "debian_branch",
                    "pristine_tar", "pristine_tar_commit", "with_submodules", "components", "comp_type", "comp_level",
                    "tarball_dir", "export_dir", "force_create", "no_create_orig", "overlay")}
                answer["signatures"] = repr(o.upstream_signatures)
        except BaseException as e:
            pass
    print(json.dumps(answer), flush=True)
`

// TestReadConfigLikeGBP asks gbp itself for the same.
func TestReadConfigLikeGBP(t *testing.T) {
	testenv.RequireTool(t, "git", "gbp")
	var asked bytes.Buffer
	confs := gbpConfs()
	homes := make([]string, len(confs))
	for i, c := range confs {
		dir, home := c.lay(t)
		homes[i] = home
		check(t, json.NewEncoder(&asked).Encode(
			map[string]string{"dir": dir, "home": home, "env": c.env}))
	}
	python := exec.Command("/usr/bin/python3", "-c", oracle)
	python.Stdin = &asked
	var said bytes.Buffer
	python.Stderr = &said
	out, err := python.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	answers := json.NewDecoder(bytes.NewReader(out))
	for i, c := range confs {
		var a struct {
			Error                                                       bool
			Upstream_tag, Upstream_branch, Upstream_tree, Debian_branch string
			Comp_type, Comp_level, Tarball_dir, Export_dir, Signatures  string
			Pristine_tar, Pristine_tar_commit, With_submodules, Overlay bool
			Force_create, No_create_orig                                any
			Components                                                  []string
		}
		check(t, answers.Decode(&a))
		got := "error"
		if !a.Error {
			conf := Config{UpstreamTag: a.Upstream_tag, UpstreamBranch: a.Upstream_branch,
				UpstreamTree: a.Upstream_tree, DebianBranch: a.Debian_branch,
				Compression: a.Comp_type, CompressionLevel: a.Comp_level,
				TarballDir: Dir{Name: a.Tarball_dir}, ExportDir: Dir{Name: a.Export_dir},
				PristineTarCommit: a.Pristine_tar_commit, Submodules: a.With_submodules,
				Overlay: a.Overlay, Components: a.Components,
				ForceCreate:  fmt.Sprint(a.Force_create) == "true",
				NoCreateOrig: fmt.Sprint(a.No_create_orig) == "true",
				Signatures:   map[string]Switch{"on": On, "off": Off, "auto": Auto}[a.Signatures]}
			if a.Pristine_tar {
				conf.PristineTar = On
			}
			got = say(conf, func(d Dir) string {
				return strings.ReplaceAll(d.Name, homes[i], "HOME")
			})
		}
		// gbp's default
		want := strings.TrimSpace(strings.ReplaceAll(" "+c.want, " pristine-tar=off", ""))
		if got != want {
			t.Errorf("%s: gbp says %s\nwant: %s", c.name, got, want)
		}
	}
}

func tagCases() []struct{ format, version, want string } {
	return []struct{ format, version, want string }{
		{"upstream/%(version)s", "1.0", "upstream/1.0"},
		{"%(version)s", "1.0~rc1", "1.0_rc1"},
		{"%(version)s", "1:2.0~3", "1%2.0_3"},
		{"%(version)s", "0....0", "0.#.#.#.0"},
		{"%(version)s", "0.lock", "0.#lock"},
		{"%(version)s", "0.lock.1", "0.lock.1"},
		{"%(version)s", "1.", "1.#"},
		{"foo-%(hversion)s", "1.8.1", "foo-1-8-1"},
		{"%(hversion)s", "1..2", "1-#-2"},
		{"v%(version%.%_)s", "1.2.3", "v1_2_3"},
		{"v%(version%~%.)s", "1.2~rc3", "v1.2.rc3"},
		{`%(version%-%\%)s`, "0-1.2.3", "0%1.2.3"},
		{"v%(version%.%ab)s", "1.2", "v1b2"},
		{"v%(version%+%%)s", "1+2", "error"},
		{"v%(version%.%)s", "1.2", "error"},
		{"%(version%.%_)s-%(version%-%x)s", "1.2-3", "1_2-3-1_2-3"},
		{"%(hversion)s/%(version%.%_)s", "1.2", "1_2/1_2"},
		{"100%%/%(version)s", "1", "100%/1"},
		{"%(version)d", "1", "error"},
		{"%(name)s", "1", "error"},
		{"%", "1", "error"},
		{"%(version)", "1", "error"},
		{"release/x/1.0", "9", "release/x/1.0"},
		{"v%(version)s-1", "1.0+dfsg", "v1.0+dfsg-1"},
	}
}

func TestTag(t *testing.T) {
	for _, c := range tagCases() {
		got, err := Config{UpstreamTag: c.format}.tag(c.version)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s of %s: %s, want %s", c.format, c.version, got, c.want)
		}
	}
}

func TestTagLikeGBP(t *testing.T) {
	testenv.RequireTool(t, "gbp")
	const script = `
import sys
sys.dont_write_bytecode = True
from gbp.deb.git import DebianGitRepository
for line in sys.stdin:
    f, v = line.rstrip("\n").split("\t")
    try: print(DebianGitRepository.version_to_tag(f, v))
    except Exception: print("error")
`
	var asked strings.Builder
	for _, c := range tagCases() {
		asked.WriteString(c.format + "\t" + c.version + "\n")
	}
	python := exec.Command("/usr/bin/python3", "-c", script)
	python.Stdin = strings.NewReader(asked.String())
	out, err := python.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := strings.Split(string(out), "\n")
	for i, c := range tagCases() {
		if got[i] != c.want && !(c.want == "error" && strings.HasPrefix(c.format, "%(version)d")) {
			t.Errorf("%s of %s: gbp says %s, want %s", c.format, c.version, got[i], c.want)
		}
	}
}

// TestDirs are directories of tarballs: the caller may name any, a source only what lies beside it.
func TestDirs(t *testing.T) {
	conf := func(where string) func(string) string {
		return func(name string) string { return "[DEFAULT]\n" + where + " = " + name + "\n" }
	}
	for _, c := range []struct {
		file, name, want string // "" for a refusal; TOP is where the source directory lies
	}{
		{"debian/gbp.conf", "../tarballs/", "TOP/tarballs"},
		{"debian/gbp.conf", "../tarballs/%(version)s", "TOP/tarballs/1.0"},
		{"debian/gbp.conf", "..", "TOP"},
		{"debian/gbp.conf", "TOP/tarballs", "TOP/tarballs"},
		{"debian/gbp.conf", "sub", "TOP/pkg/sub"},
		{"debian/gbp.conf", "../..", ""},
		{"debian/gbp.conf", "/", ""},
		{"debian/gbp.conf", "/etc", ""},
		{"debian/gbp.conf", "~", ""},
		{"debian/gbp.conf", "${HOME}/x", ""},
		{"debian/gbp.conf", "../out", ""}, // a link
		{"debian/gbp.conf", "../%(nothing)s", ""},
		{".gbp.conf", "/etc", ""},
		{".git/gbp.conf", "/etc", ""},
		{"~/.gbp.conf", "/etc", "/etc"},
		{"~/.gbp.conf", "~/x", "HOME/x"},
		{"~/.gbp.conf", "../tarballs", "TOP/tarballs"},
	} {
		for _, where := range []string{"tarball-dir", "export-dir"} {
			g := gbpConf{files: map[string]string{}}
			dir, home := g.lay(t)
			top := filepath.Dir(dir)
			check(t, os.Mkdir(filepath.Join(dir, "debian"), 0o755))
			check(t, os.Symlink("/etc", filepath.Join(top, "out")))
			file := filepath.Join(dir, c.file)
			if rest, ok := strings.CutPrefix(c.file, "~"); ok {
				file = home + rest
			}
			check(t, os.WriteFile(file, []byte(conf(where)(strings.ReplaceAll(c.name, "TOP", top))),
				0o644))
			l, err := Locate(dir)
			check(t, err)
			conf, err := ReadConfig(l, g.getenv(home))
			check(t, err)
			d := conf.TarballDir
			if where == "export-dir" {
				d = conf.ExportDir
			}
			got, err := d.Path(l, "1.0", g.getenv(home))
			if want := strings.NewReplacer("TOP", top, "HOME", home).Replace(c.want); got != want ||
				(err != nil) != (want == "") {
				t.Errorf("%s of %s: %s: %q, %v", where, c.file, c.name, got, err)
			}
		}
	}
}
