package deps

import (
	"strings"
	"testing"

	"nsbuild/internal/buildlog"
)

func TestExplanation(t *testing.T) {
	for name, c := range map[string]struct{ log, want string }{
		"apt": {
			"Building dependency tree...\n\nThe following packages have unmet dependencies:\n " +
				"sbuild-build-depends-main-dummy : Depends: nosuch but it is not installable\n" +
				"                                   Depends: other but it is not going to be " +
				"installed\nE: Unable to correct problems, you have held broken packages.",
			"sbuild-build-depends-main-dummy : Depends: nosuch but it is not " +
				"installable\nDepends: other but it is not going to be installed\n" +
				"E: Unable to correct problems, you have held broken packages.",
		},
		"apt, cross": {
			"The following packages have unmet dependencies:\n builddeps:/run/x.dsc:arm64 : " +
				"Depends: mingw-w64:arm64 but it is not installable\nE: Unable to correct " +
				"problems, you have held broken packages.",
			"builddeps:/run/x.dsc:arm64 : Depends: mingw-w64:arm64 but it is not installable\nE: " +
				"Unable to correct problems, you have held broken packages.",
		},
		"aptitude": {
			"The following packages have unmet dependencies:\n sbuild-build-depends-main-dummy : " +
				"Depends: nosuch which is a virtual package\n\nUnable to resolve dependencies!  " +
				"Giving up...\n" +
				"The following NEW packages will be installed:\n  autoconf{a} automake{a}",
			"sbuild-build-depends-main-dummy : Depends: nosuch which is a virtual package",
		},
		"dpkg": {
			"Setting up fails (1.0) ...\ndpkg: error processing package fails (--configure):\n " +
				"installed fails package post-installation script subprocess returned error exit " +
				"status 3\n" +
				"Errors were encountered while processing:\n fails\nE: Sub-process /usr/bin/dpkg " +
				"returned an error code (1)",
			"dpkg: error processing package fails (--configure):\ninstalled fails package " +
				"post-installation script subprocess returned error exit status 3\nE: " +
				"Sub-process /usr/bin/dpkg returned an error code (1)",
		},
		"neither": {"Reading package lists...\n indented", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var lines []buildlog.Line
			for i, text := range strings.Split(c.log, "\n") {
				lines = append(lines, buildlog.Line{Number: i + 1, Text: text})
			}
			if got := strings.Join(Explanation(lines), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
