package fakedebian_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// sample is an archive with a bit of everything.
func sample(t *testing.T) (*fakedebian.Archive, *fakedebian.Suite) {
	t.Helper()
	a := fakedebian.New(t)
	s := a.Suite("bookworm")
	s.Suite, s.Version = "stable", "12.11"
	s.Compressions = []fakedebian.Compression{fakedebian.XZ, fakedebian.Gzip, fakedebian.Zstd,
		fakedebian.None}
	s.Add(
		fakedebian.Package{Name: "hello", Version: "1:2.10-3", Architecture: "amd64",
			Depends: "libhello1 (>= 1)", Files: []fakedebian.File{
				{Path: "usr/bin/hello", Body: "#!/bin/sh\necho hello\n", Mode: 0o755},
				{Path: "usr/bin/hallo", Link: "hello"},
				{Path: "usr/bin/hello2", Link: "usr/bin/hello", Type: tar.TypeLink},
				{Path: "var/mail/", Mode: 0o2775, Group: "mail", GID: 8},
				{Path: "etc/hello.conf", Body: "greeting=hello\n"},
			}, Conffiles: []string{"/etc/hello.conf"},
			Scripts: map[string]string{"postinst": "#!/bin/sh\nexit 0\n"}},
		fakedebian.Package{Name: "libhello1", MultiArch: "same", Architecture: "amd64",
			DataCompression: fakedebian.Zstd, ControlCompression: fakedebian.Gzip},
		fakedebian.Package{Name: "hello-doc",
			Description:     "documentation\nA long description.\n.\nWith paragraphs.",
			SlashNames:      true,
			DataCompression: fakedebian.LZMA, ControlCompression: fakedebian.None},
	)
	s.AddTo("contrib", fakedebian.Package{Name: "extra", DataCompression: fakedebian.Gzip})
	s.AddSource(
		fakedebian.Source{Name: "hello", Version: "1:2.10-3",
			Key: fakedebian.KeyOf(t, fakedebian.KeyDeveloper),
			Files: []fakedebian.File{
				{Path: "Makefile", Body: "all:\n\nclean:\n\ninstall:\n\tinstall -D -m 755 " +
					"hello.sh $(DESTDIR)/usr/bin/hello\n"},
				{Path: "hello.sh", Body: "#!/bin/sh\necho hello\n"}},
			Packages: []fakedebian.Package{{Name: "hello", Architecture: "any"},
				{Name: "hello-doc", Architecture: "all"}}},
		fakedebian.Source{Name: "native", Version: "3"},
		fakedebian.Source{Name: "old", Format: fakedebian.Format1},
	)
	return a, s
}

func TestSignatures(t *testing.T) {
	kinds := []fakedebian.KeyKind{fakedebian.KeyArchive, fakedebian.KeySecond, fakedebian.KeyRSA,
		fakedebian.KeyOther, fakedebian.KeyDeveloper, fakedebian.KeyWeakRSA,
		fakedebian.KeyWeakDSA, fakedebian.KeySHA1, fakedebian.KeyExpired, fakedebian.KeyRevoked}
	const text = "Origin: Debian\n- dashes\n-----BEGIN\ntrailing space \n\nlast\n"
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			key := fakedebian.KeyOf(t, kind)
			if fakedebian.KeyOf(t, kind) != key {
				t.Error("the key is not kept")
			}
			// gpgv looks at all that our own library's defaults would refuse.
			testenv.RequireTool(t, "gpgv")
			dir := t.TempDir()
			inline := fakedebian.Clearsigned(t, text, fakedebianTime, key,
				fakedebian.KeyOf(t, fakedebian.KeyOther))
			write(t, dir, "InRelease", inline)
			write(t, dir, "Release", []byte(text))
			write(t, dir, "Release.gpg", fakedebian.Detached(t, []byte(text), fakedebianTime, key))
			ring := fakedebian.Keyring(t, kind, fakedebian.KeyOther)
			for _, args := range [][]string{{"InRelease"}, {"Release.gpg", "Release"}} {
				cmd := exec.Command("gpgv",
					append([]string{"--weak-digest", "MD5", "--keyring", ring}, args...)...)
				cmd.Dir = dir
				out, err := cmd.CombinedOutput()
				if err != nil || !strings.Contains(string(out), "Good signature") {
					t.Errorf("gpgv %v: %v\n%s", args, err, out)
				}
			}
			block, rest := clearsign.Decode(inline)
			if block == nil || len(bytes.TrimSpace(rest)) != 0 {
				t.Fatal("not a clearsigned message")
			}
			if got := strings.TrimSuffix(string(block.Plaintext), "\n") +
				"\n"; got != strings.Replace(text, "space \n", "space\n", 1) {
				t.Errorf("the signed text is %q", block.Plaintext)
			}
		})
	}
}

func TestExpiredAndRevokedKeysAre(t *testing.T) {
	testenv.RequireTool(t, "gpgv")
	for kind, want := range map[fakedebian.KeyKind]string{fakedebian.KeyExpired: "EXPKEYSIG",
		fakedebian.KeyPast: "EXPKEYSIG", fakedebian.KeyRevoked: "REVKEYSIG",
		fakedebian.KeyArchive: "GOODSIG"} {
		dir := t.TempDir()
		write(t, dir, "InRelease", fakedebian.Clearsigned(t, "text\n", fakedebianTime,
			fakedebian.KeyOf(t, kind)))
		cmd := exec.Command("gpgv", "--status-fd", "1", "--keyring", fakedebian.Keyring(t, kind),
			"InRelease")
		cmd.Dir = dir
		out, err := cmd.Output()
		if !strings.Contains(string(out), want) {
			t.Errorf("%s key: no %s from gpgv (%v):\n%s", kind, want, err, out)
		}
	}
}

func TestReleaseVerifies(t *testing.T) {
	a, _ := sample(t)
	tree := a.Tree()
	ring, err := openpgp.ReadKeyRing(
		bytes.NewReader(fakedebian.KeyOf(t, fakedebian.KeyArchive).Public(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"bookworm", "stable"} {
		block, _ := clearsign.Decode(tree.Read("dists/" + dir + "/InRelease"))
		if block == nil {
			t.Fatal("InRelease is not clearsigned")
		}
		if _, err := block.VerifySignature(ring, nil); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(bytes.TrimSpace(block.Plaintext),
			bytes.TrimSpace(tree.Read("dists/"+dir+"/Release"))) {
			t.Error("InRelease and Release differ")
		}
		if _, err := openpgp.CheckArmoredDetachedSignature(ring,
			bytes.NewReader(tree.Read("dists/"+dir+"/Release")),
			bytes.NewReader(tree.Read("dists/"+dir+"/Release.gpg")), nil); err != nil {
			t.Error(err)
		}
	}
}

func TestTreeIsTheSameEachTime(t *testing.T) {
	a, _ := sample(t)
	one, two := a.Tree(), a.Tree()
	for _, name := range one.Paths() {
		if !bytes.Equal(one.Read(name), two.Read(name)) {
			t.Errorf("%s differs", name)
		}
	}
}

// apt is the judge of the formats: it updates from the archive and downloads from it.
func TestAptReadsIt(t *testing.T) {
	testenv.RequireTool(t, "apt-get")
	a, s := sample(t)
	for _, c := range []fakedebian.Compression{fakedebian.XZ, fakedebian.Gzip, fakedebian.Zstd,
		fakedebian.None} {
		for _, inRelease := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s InRelease=%v", c, inRelease), func(t *testing.T) {
				s.Compressions, s.InRelease = []fakedebian.Compression{c}, inRelease
				srv := fakedebian.Serve(t, fakedebian.Mounts{"debian": a.Tree()})
				apt := newApt(t, fmt.Sprintf("deb [signed-by=%s] %s bookworm main "+
					"contrib\ndeb-src [signed-by=%[1]s] %[2]s stable main\n",
					fakedebian.Keyring(t, fakedebian.KeyArchive), srv.URL("debian")))
				if out := apt("update"); strings.Contains(out, "W:") ||
					strings.Contains(out, "E:") {
					t.Errorf("apt-get update complains:\n%s", out)
				}
				out := apt("--print-uris", "install", "hello", "extra")
				for _, want := range []string{"hello_1%3a2.10-3_amd64.deb",
					"libhello1_1.0-1_amd64.deb", "extra_1.0-1_all.deb"} {
					if !strings.Contains(out, want) {
						t.Errorf("%s is not to be installed:\n%s", want, out)
					}
				}
				apt("download", "hello")
				apt("--download-only", "source", "hello", "native", "old")
				if srv.Count("by-hash") == 0 {
					t.Error("nothing was fetched by hash")
				}
			})
		}
	}
}

// newApt is an apt-get with its own directories, without root.
func newApt(t *testing.T, sources string) func(args ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"etc/apt/apt.conf.d", "etc/apt/preferences.d",
		"etc/apt/trusted.gpg.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial",
		"var/lib/dpkg", "cwd"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "var/lib/dpkg/status", nil)
	write(t, dir, "etc/apt/sources.list", []byte(sources))
	conf := `Dir "` + dir + `"; Dir::State::status "` + dir +
		`/var/lib/dpkg/status"; APT::Architecture "amd64"; APT::Architectures {"amd64";}; APT::Sandbox::User ""; Debug::NoLocking "1"; Acquire::Languages "none"; Dir::Bin::Methods "/usr/lib/apt/methods";`
	write(t, dir, "apt.conf", []byte(conf))
	return func(args ...string) string {
		t.Helper()
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(dir, "apt.conf"), "LC_ALL=C",
			"http_proxy=", "no_proxy=*")
		cmd.Dir = filepath.Join(dir, "cwd")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("apt-get %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
}

func TestDpkgReadsTheDebs(t *testing.T) {
	testenv.RequireTool(t, "dpkg-deb")
	a, _ := sample(t)
	tree := a.Tree()
	dir := t.TempDir()
	for _, name := range tree.Paths() {
		if !strings.HasSuffix(name, ".deb") {
			continue
		}
		file := write(t, dir, "x.deb", tree.Read(name))
		run(t, dir, "dpkg-deb", "--info", file)
		out := run(t, dir, "dpkg-deb", "--contents", file)
		if strings.HasSuffix(name, "/hello_2.10-3_amd64.deb") {
			for _, want := range []string{"drwxrwsr-x root/mail", "./usr/bin/hallo -> hello",
				"./usr/bin/hello2 link to ./usr/bin/hello", "-rwxr-xr-x root/root"} {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			run(t, dir, "dpkg-deb", "--extract", file, "x")
		}
	}
}

func TestRealDebsCanBeAdded(t *testing.T) {
	made := fakedebian.Package{Name: "libreal2", Source: "real (2.0)", Version: "2:3-1",
		Architecture: "amd64", ControlCompression: fakedebian.Zstd}
	dir := t.TempDir()
	write(t, dir, "x.deb", made.Deb(t))
	a := fakedebian.New(t)
	a.Suite("trixie").AddDir("main", dir)
	index := string(a.Tree().Read("dists/trixie/main/binary-amd64/Packages.gz"))
	if index == "" {
		t.Fatal("no index")
	}
	if got := a.Tree().Find(".deb"); got != "pool/main/r/real/libreal2_3-1_amd64.deb" {
		t.Errorf("the deb is at %s", got)
	}
}

func TestSourcesUnpackAndBuild(t *testing.T) {
	testenv.RequireTool(t, "dpkg-source", "dpkg-buildpackage", "make")
	a, _ := sample(t)
	tree := a.Tree()
	for _, c := range []struct{ name, dir, dsc string }{{"hello", "hello-2.10", "hello_2.10-3.dsc"},
		{"native", "native-3", "native_3.dsc"}, {"old", "old-1.0", "old_1.0-1.dsc"}} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range tree.Paths() {
				if strings.Contains(name, "/"+c.name+"/") && !strings.HasSuffix(name, ".deb") {
					write(t, dir, filepath.Base(name), tree.Read(name))
				}
			}
			out := run(t, dir, "dpkg-source", "--no-check", "-x", c.dsc)
			if strings.Contains(out, "warning") {
				t.Errorf("dpkg-source complains:\n%s", out)
			}
			run(t, filepath.Join(dir, c.dir), "dpkg-buildpackage", "-b", "-us", "-uc", "-d")
			debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
			if err != nil || len(debs) == 0 {
				t.Errorf("no packages were built (%v)", err)
			}
			if c.name == "hello" {
				if out := run(t, dir, "dpkg-deb", "--contents",
					filepath.Join(dir, "hello_2.10-3_amd64.deb")); !strings.Contains(out,
					"./usr/bin/hello") {
					t.Errorf("hello has no program:\n%s", out)
				}
			}
		})
	}
}

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEB_BUILD_OPTIONS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
