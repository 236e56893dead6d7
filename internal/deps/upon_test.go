package deps

import (
	"slices"
	"testing"
)

func TestScripts(t *testing.T) {
	for _, c := range []struct {
		name, text string
		plain      bool
		names      []string
	}{
		{"nothing", "#!/bin/sh\nset -e\nexit 0\n", true, nil},
		{"a comment", "#!/bin/sh\n  # adduser was here\nldconfig\n", true, nil},
		{"an account", "#!/bin/sh\nif true; then adduser --system x; fi\n", false, nil},
		{"a file of accounts", "#!/bin/sh\nsed -i s/x/y/ /etc/group\n", false, nil},
		{"a secret", "#!/usr/bin/perl\nopen F, '/dev/urandom';\n", false, nil},
		{"a registry", "#!/bin/sh\nucf --three-way a b\n", false, nil},
		{"a program", "\x7fELF", false, nil},
		{"overrides that are only asked for", "#!/bin/sh\ndpkg-statoverride --list /x\n", true,
			nil},
		{"overrides", "#!/bin/sh\ndpkg-statoverride --update --add root root 0755 /x\n", false,
			nil},
		{"alternatives", "#!/bin/sh\nupdate-alternatives --install /usr/bin/a a " +
			"\\\n\t/usr/bin/a-1 10 \\\n\t--slave /usr/bin/b b /usr/bin/b-1\nupdate-alternatives " +
			"--quiet --install /usr/bin/c \"c\" /usr/bin/c-1 1\n", true, []string{"a", "c"}},
		{"alternatives of an unknown name",
			"#!/bin/sh\nupdate-alternatives --install /usr/bin/a $name /usr/bin/a-1 10\n", false,
			[]string{"$name"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scripts{plain: true}
			s.script([]byte(c.text))
			if s.plain != c.plain || !slices.Equal(s.alternatives, c.names) {
				t.Errorf("%+v", s)
			}
		})
	}
}
