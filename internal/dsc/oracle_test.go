package dsc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

const (
	goodHeading = "hello (1.0) unstable; urgency=low\n"
	goodLast    = " -- A B <a@mirror.example>  Wed, 05 Apr 2023 06:07:08 +0200\n"
	goodSource  = "Source: hello\nSection: misc\nPriority: optional\nMaintainer: A B <a@mirror.example>\n"
	goodPackage = "\nPackage: hello\nArchitecture: all\nDescription: x\n y\n"
)

// oddChangelogs are forms of debian/changelog that are found in old packages, and in new ones.
var oddChangelogs = []struct{ name, text string }{
	{"plain", goodHeading + "\n  * A.\n\n" + goodLast},
	{"col0", goodHeading + "\nText at column 0\n* more text\n  * A.\n\n" + goodLast},
	{"hash", "# a comment\n$Id: changelog,v 1.2 2003/01/01 x Exp $\n" + goodHeading +
		"\n  * A.\n# in the middle\n$Log: x$\n\n" + goodLast},
	{"twoblanks", goodHeading + "\n  * A.\n\n " + goodLast},
	{"oldnotrailer", goodHeading + "\n  * A.\n\n" + goodLast +
		"\nhello (0.9) unstable; urgency=low\n\n  * B.\n"},
	{"firstnotrailer", goodHeading + "\n  * A.\n\nhello (0.9) unstable; urgency=low\n\n  * B.\n\n" +
		goodLast},
	{"oneblankdate",
		goodHeading + "\n  * A.\n\n -- A B <a@mirror.example> Wed, 05 Apr 2023 06:07:08 +0200\n"},
	{"threeblankdate",
		goodHeading + "\n  * A.\n\n -- A B <a@mirror.example>   Wed, 05 Apr 2023 06:07:08 +0200\n"},
	{"noemail", goodHeading + "\n  * A.\n\n -- A B  Wed, 05 Apr 2023 06:07:08 +0200\n"},
	{"badkv", "hello (1.0) unstable; urgency=low Fri, 19 Sep 2025 22:46:33 +0000\n\n  * A.\n\n" +
		goodLast},
	{"badday",
		goodHeading + "\n  * A.\n\n -- A B <a@mirror.example>  Thr, 05 Apr 2023 06:07:08 +0200\n"},
	{"usdate",
		goodHeading + "\n  * A.\n\n -- A B <a@mirror.example>  Sat, May 22 2021 15:40:00 +0000\n"},
	{"fullmonth",
		goodHeading +
			"\n  * A.\n\n -- A B <a@mirror.example>  Wed, 05 April 2023 06:07:08 +0200\n"},
	{"localvars", goodHeading + "\n  * A.\n\n" + goodLast +
		"\nLocal variables:\nmode: debian-changelog\nEnd:\n"},
	{"ancient", goodHeading + "\n  * A.\n\n" + goodLast +
		"\nOld Changelog:\nThu Jan  1 00:00:00 1998  X Y  <x@y>\n\n\t* foo\n"},
	{"nosemicolon", "hello (1.0) unstable\n\n  * A.\n\n" + goodLast},
	{"nodist", "hello (1.0); urgency=low\n\n  * A.\n\n" + goodLast +
		"\nhello (0.9) unstable; urgency=low\n\n  * B.\n\n" + goodLast},
	{"leadingtext", "Some words before\n\n" + goodHeading + "\n  * A.\n\n" + goodLast},
	{"wordbefore", "Changelog\n\n" + goodHeading + "\n  * A.\n\n" + goodLast},
	{"crlf", "hello (1.0) unstable; urgency=low\r\n\r\n  * A.\r\n\r\n -- A B <a@mirror.example>  " +
		"Wed, 05 Apr 2023 06:07:08 +0200\r\n"},
	{"multidist", "hello (1.0) focal bionic; urgency=low\n\n  * A.\n\n" + goodLast},
	{"nourgency", "hello (1.0) unstable;\n\n  * A.\n\n" + goodLast},
	{"badversion", "hello (x1) unstable; urgency=low\n\n  * A.\n\n" + goodLast},
	{"latin1",
		goodHeading +
			"\n  * A\xe9.\n\n -- J\xe9 <a@mirror.example>  Wed, 05 Apr 2023 06:07:08 +0200\n"},
	{"noweekday",
		goodHeading + "\n  * A.\n\n -- A B <a@mirror.example>  05 Apr 2023 06:07:08 +0200\n"},
	{"ccomment", "/* x */\n" + goodHeading + "\n  * A.\n\n" + goodLast},
	{"onespacechange", goodHeading + "\n * A.\n\n" + goodLast},
	{"tabchange", goodHeading + "\n\t* A.\n\n" + goodLast},
	{"nochanges", goodHeading + "\n" + goodLast},
	{"upper", "hello (1.0) UNRELEASED; urgency=LOW\n\n  * A.\n\n" + goodLast},
	{"twotrailers", goodHeading + "\n  * A.\n\n" + goodLast + goodLast},
	{"binaryonly", "hello (1.0) unstable; urgency=low, binary-only=yes\n\n  * A.\n\n" + goodLast},
	{"unknownkv", "hello (1.0) unstable; urgency=low, foo=bar\n\n  * A.\n\n" + goodLast},
	{"epochinvalid", "hello (a:1.0) unstable; urgency=low\n\n  * A.\n\n" + goodLast},
	{"empty", ""},
	{"wordinmiddle", goodHeading + "\n  * A.\nnote:\n\n" + goodLast},
	{"vimfirst", "vim: set x\n" + goodHeading + "\n  * A.\n\n" + goodLast},
	{"bom", "\xef\xbb\xbf" + goodHeading + "\n  * A.\n\n" + goodLast},
	{"underscoredist", "hello (1.0) my_dist; urgency=low\n\n  * A.\n\n" + goodLast},
	{"srcunderscore", "hel_lo (1.0) unstable; urgency=low\n\n  * A.\n\n" + goodLast},
	{"leadspaceheader", " " + goodHeading + "\n  * A.\n\n" + goodLast},
	{"twospaceheader", "hello  (1.0) unstable; urgency=low\n\n  * A.\n\n" + goodLast},
	{"plusver", "hello (1.0+dfsg~1) unstable; urgency=low\n\n  * A.\n\n" + goodLast},
	{"urgencycomment", "hello (1.0) unstable; urgency=low (a comment)\n\n  * A.\n\n" + goodLast},
}

// oddControls are the same of debian/control.
var oddControls = []struct{ name, text string }{
	{"plain", goodSource + "Build-Depends: debhelper\n" + goodPackage},
	{"formfeed", goodSource + "Build-Depends: debhelper\n\x0c" + goodPackage},
	{"formfeedinline", goodSource + "Build-Depends: debhelper,\x0c libc6\n" + goodPackage},
	{"ctrl", goodSource + "X-Foo: a\x01b\n" + goodPackage},
	{"spacecolon",
		"Source : hello\nSection : misc\nPriority: optional\nMaintainer: A B <a@mirror.example>\n" +
			goodPackage},
	{"trailcomma", goodSource + "Build-Depends: debhelper, libc6-dev,\n" + goodPackage},
	{"leadcomma", goodSource + "Build-Depends: , debhelper\n" + goodPackage},
	{"doublecomma", goodSource + "Build-Depends: debhelper,, libc6\n" + goodPackage},
	{"subst", goodSource + "Build-Depends: debhelper, ${foo:Depends}\n" + goodPackage},
	{"substver", goodSource + "Build-Depends: debhelper (>= ${ver})\n" + goodPackage},
	{"dup", goodSource + "Section: other\n" + goodPackage},
	{"duptab", goodSource + "Build-Depends: debhelper\nBuild-Depends: libc6\n" + goodPackage},
	{"crlf", "Source: hello\r\nMaintainer: A B <a@mirror.example>\r\nSection: misc\r\nPriority: " +
		"optional\r\n\r\nPackage: hello\r\nArchitecture: all\r\nDescription: x\r\n y\r\n"},
	{"comment", "# comment\n" + goodSource + "# c\nBuild-Depends: debhelper,\n# mid\n libc6\n" +
		goodPackage + "# end\n"},
	{"spaceonly", goodSource + "\n  \n\t" + goodPackage},
	{"noprio", "Source: hello\nMaintainer: A B <a@mirror.example>\n" + goodPackage},
	{"nomaint", "Source: hello\n" + goodPackage},
	{"oldlt", goodSource + "Build-Depends: debhelper (< 99), libc6 (> 1)\n" + goodPackage},
	{"emptybd", goodSource + "Build-Depends:\n" + goodPackage},
	{"emptybdspace", goodSource + "Build-Depends:  \n" + goodPackage},
	{"badname", goodSource + "Build-Depends: deb_helper\n" + goodPackage},
	{"arch", goodSource + "Build-Depends: debhelper [i386 amd64 ]\n" + goodPackage},
	{"emptyarch", goodSource + "Build-Depends: debhelper []\n" + goodPackage},
	{"mixedarch", goodSource + "Build-Depends: debhelper [i386 !amd64]\n" + goodPackage},
	{"archcomma", goodSource + "Build-Depends: debhelper [i386, amd64]\n" + goodPackage},
	{"noversionsp", goodSource + "Build-Depends: debhelper(>=9)\n" + goodPackage},
	{"badversion", goodSource + "Build-Depends: debhelper (>= foo_1)\n" + goodPackage},
	{"nover", goodSource + "Build-Depends: debhelper (9)\n" + goodPackage},
	{"oneeq", goodSource + "Build-Depends: debhelper (== 9)\n" + goodPackage},
	{"conflalt", goodSource + "Build-Conflicts: a | b\n" + goodPackage},
	{"dotfield", goodSource + "Foo.Bar: x\n" + goodPackage},
	{"colonsp", "Source:hello\nMaintainer:A B <a@mirror.example>\n" + goodPackage},
	{"spacesinname", "Source hello\nMaintainer: x\n" + goodPackage},
	{"archany", goodSource + "\nPackage: hello\nArchitecture: any all\nDescription: x\n y\n"},
	{"multiarch", goodSource + "\nPackage: hello\nArchitecture: amd64 i386\nDescription: x\n y\n"},
	{"archcommas",
		goodSource + "\nPackage: hello\nArchitecture: amd64, i386\nDescription: x\n y\n"},
	{"noarch", goodSource + "\nPackage: hello\nDescription: x\n y\n"},
	{"nodesc", goodSource + "\nPackage: hello\nArchitecture: all\n"},
	{"latin1", "Source: hello\nMaintainer: J\xe9 <a@mirror.example>\n" + goodPackage},
	{"bom", "\xef\xbb\xbf" + goodSource + goodPackage},
	{"nopkg", goodSource},
	{"namemismatch", "Source: other\nMaintainer: A B <a@mirror.example>\n" + goodPackage},
	{"uppername", "Source: hello\nMaintainer: A B <a@mirror.example>\nBuild-Depends: LibFoo-dev\n" +
		goodPackage},
	{"hyphenfield", goodSource + "-Foo: x\n" + goodPackage},
	{"textline", goodSource + "some text\n" + goodPackage},
	{"contfirst", " cont\n" + goodSource + goodPackage},
	{"profiles", goodSource + "Build-Depends: debhelper <!nocheck> <cross>\n\nPackage: " +
		"hello\nArchitecture: all\nBuild-Profiles: <!noudeb>\nDescription: x\n y\n"},
	{"emptyprofile", goodSource + "Build-Depends: debhelper <>\n" + goodPackage},
	{"native", goodSource + "Build-Depends: python3:any, perl:native, gcc:amd64\n" + goodPackage},
	{"vt", goodSource + "\x0bX: y\n" + goodPackage},
	{"noSourceBlank", "\n\n\n" + goodSource + goodPackage},
	{"nul", goodSource + "X-Foo: a\x00b\n" + goodPackage},
	{"pgp", "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + goodSource + goodPackage},
	{"trailpipe", goodSource + "Build-Depends: debhelper |\n" + goodPackage},
	{"pipefirst", goodSource + "Build-Depends: | debhelper\n" + goodPackage},
	{"semicolon", goodSource + "Build-Depends: debhelper; libc6\n" + goodPackage},
	{"spacelist", goodSource + "Build-Depends: debhelper libc6\n" + goodPackage},
	{"pkgupper", goodSource + "\nPackage: Hello\nArchitecture: all\nDescription: x\n y\n"},
	{"unknownarch", goodSource + "\nPackage: hello\nArchitecture: all foo!\nDescription: x\n y\n"},
	{"nbsp", goodSource + "Build-Depends: debhelper,\xc2\xa0libc6\n" + goodPackage},
	{"versubst", goodSource + "Build-Depends: debhelper (= ${source:Version})\n" + goodPackage},
	{"srcfold", "Source:\n hello\nMaintainer: A B <a@mirror.example>\n" + goodPackage},
	{"tabcont", goodSource + "Build-Depends:\n\tdebhelper,\n\tlibc6\n" + goodPackage},
	{"uscorefield", goodSource + "Foo_Bar: x\n" + goodPackage},
	{"sectionspace", goodSource + "Standards-Version : 3.6\n" + goodPackage},
	{"trailpkgcomma", goodSource + "Build-Depends: debhelper (>= 9) ,\n  libc6 ,\n" + goodPackage},
	{"emptyfirstpkg", goodSource + "\n\n\n\n" + goodPackage +
		"\n\n\nPackage: two\nArchitecture: any\nDescription: x\n"},
	{"tilde", goodSource + "Build-Depends: debhelper (>= 9~)\n" + goodPackage},
	{"verparen", goodSource + "Build-Depends: debhelper (>= 9\n" + goodPackage},
	{"version_underscore", goodSource + "Build-Depends: debhelper (>= 1.0_beta)\n" + goodPackage},
	{"archunion", goodSource + "Build-Depends: debhelper [any]\n" + goodPackage},
}

// stricter are those that dpkg-source refuses and OpenTree does not: dpkg-source will say so in the
// jail.
var stricter = map[string]bool{
	"binaryonly": true, "archany": true, "archcommas": true, "srcfold": true, "unknownarch": true,
	"vt": true, // with the dpkg of sid in 2026-12
}

// dpkgOracle runs programs of dpkg, one for each line of its input: the program's file and its
// arguments, with tabs between them. Each is a process of its own, but what takes nine tenths of
// such a one's time, compiling dpkg's modules, is done once for all. The answer to a line is the
// exit status and the length of what was printed, and then that.
const dpkgOracle = `
use strict;
use warnings;
no warnings "once";
$| = 1;
for my $file (@ARGV) {
	open my $text, "<", $file or die "$file: $!";
	/^use ([A-Z][\w:]*)/ && eval "require $1" while <$text>;
}
eval "require $_" for qw(Dpkg::Changelog::Debian Dpkg::Changelog::Entry::Debian Dpkg::BuildProfiles
	Dpkg::OpenPGP::Backend::GnuPG Dpkg::OpenPGP::Backend::SOP Dpkg::OpenPGP::Backend::Sequoia
	Dpkg::Source::Package::V3::Native Dpkg::Vendor::Debian Time::Piece);
while (my $line = <STDIN>) {
	chomp $line;
	pipe my $said, my $says or die $!;
	my $pid = fork // die $!;
	if (!$pid) {
		open STDIN, "<", "/dev/null" or die $!;
		open STDOUT, ">&", $says or die $!;
		open STDERR, ">&", $says or die $!;
		($0, @ARGV) = split /\t/, $line;
		($Dpkg::PROGNAME) = $0 =~ m{([^/]*)$};
		do $0;
		die $@ if $@;
		exit;
	}
	close $says;
	my $text = do { local $/; <$said> } // "";
	waitpid $pid, 0;
	printf "%d %d\n%s", $?, length $text, $text;
}
`

// dpkgCall is a call of one of dpkg's programs, and what came of it.
type dpkgCall struct {
	argv   []string
	said   []byte
	status int
}

// askDpkg makes calls of dpkg's programs.
func askDpkg(t *testing.T, calls []*dpkgCall) {
	t.Helper()
	files := map[string]string{}
	args := []string{"-e", dpkgOracle, "--"}
	var lines strings.Builder
	for _, c := range calls {
		file := files[c.argv[0]]
		if file == "" {
			var err error
			if file, err = exec.LookPath(c.argv[0]); err != nil {
				t.Fatal(err)
			}
			files[c.argv[0]] = file
			args = append(args, file)
		}
		lines.WriteString(strings.Join(append([]string{file}, c.argv[1:]...), "\t") + "\n")
	}
	perl := exec.Command("perl", args...)
	perl.Stdin = strings.NewReader(lines.String())
	var problems strings.Builder
	perl.Stderr = &problems
	out, err := perl.Output()
	if err != nil {
		t.Fatalf("the oracle: %v\n%s", err, problems.String())
	}
	answers := bytes.NewReader(out)
	for _, c := range calls {
		var length int
		if _, err := fmt.Fscanf(answers, "%d %d\n", &c.status, &length); err != nil {
			t.Fatalf("the oracle on %q: %v\n%s", c.argv, err, problems.String())
		}
		c.said = make([]byte, length)
		if _, err := io.ReadFull(answers, c.said); err != nil {
			t.Fatalf("the oracle on %q: %v", c.argv, err)
		}
	}
}

// oddTree is a source directory that OpenTree and dpkg-source are to say the same of.
type oddTree struct {
	name, dir      string
	packs, changes *dpkgCall // changes is nil where the changelog is the usual one
}

// TestOddTrees compares OpenTree with dpkg-source on odd changelogs and control files: what that
// packs, with or without a warning, is opened, under the same name and version; what it refuses is
// refused.
func TestOddTrees(t *testing.T) {
	testenv.RequireTool(t, "perl", "dpkg-source", "dpkg-parsechangelog")
	if out, err := exec.Command("dpkg-source", "--version").Output(); err != nil ||
		!regexp.MustCompile(`version 1\.(2[1-9]|[3-9])`).Match(out) {
		testenv.Missing(t, "tool", fmt.Sprintf("needs dpkg 1.21 or later: %s", out))
	}
	var trees []*oddTree
	var calls []*dpkgCall
	for _, c := range oddChangelogs {
		o := writeOddTree(t, c.name, c.text, goodSource+goodPackage)
		o.changes = &dpkgCall{argv: []string{"dpkg-parsechangelog", "-l",
			filepath.Join(o.dir, "debian/changelog")}}
		trees, calls = append(trees, o), append(calls, o.packs, o.changes)
	}
	for _, c := range oddControls {
		o := writeOddTree(t, c.name, goodHeading+"\n  * A.\n\n"+goodLast, c.text)
		trees, calls = append(trees, o), append(calls, o.packs)
	}
	askDpkg(t, calls)
	for _, o := range trees {
		o.compare(t)
	}
}

func writeOddTree(t *testing.T, name, changelog, control string) *oddTree {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{"changelog": changelog, "control": control,
		"source/format": "3.0 (native)\n"} {
		file = filepath.Join(dir, "debian", file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755),
			os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return &oddTree{name: name, dir: dir,
		packs: &dpkgCall{argv: []string{"dpkg-source", "--print-format", dir}}}
}

func (o *oddTree) compare(t *testing.T) {
	t.Helper()
	refused := o.packs.status != 0
	tree, err := OpenTree(o.dir)
	switch {
	case err != nil && !refused:
		t.Errorf("%s: refused: %v\ndpkg-source takes it: %s", o.name, err, o.packs.said)
	case err == nil && refused && !stricter[o.name]:
		t.Errorf("%s: taken; dpkg-source: %s", o.name, o.packs.said)
	case err == nil && !refused && o.changes != nil:
		if o.changes.status != 0 {
			t.Fatalf("%s: dpkg-parsechangelog: %s", o.name, o.changes.said)
		}
		for field, got := range map[string]string{"Source": tree.Name,
			"Version": tree.Version.String(), "Distribution": tree.Changelog.Distribution()} {
			m := regexp.MustCompile(`(?m)^` + field + `: (\S+)`).FindSubmatch(o.changes.said)
			if m == nil || string(m[1]) != got {
				t.Errorf("%s: %s is %q; dpkg-parsechangelog: %s", o.name, field, got,
					o.changes.said)
			}
		}
	}
}
