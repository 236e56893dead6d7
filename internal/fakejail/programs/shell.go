package programs

import (
	"context"
	"fmt"
	"strings"

	"nsbuild/internal/fakejail"
	"nsbuild/internal/sandbox"
)

// Build are the programs that a source is unpacked, packed and built with, and the small ones that
// nsbuild runs in a jail besides. A package is built by nothing but its debian/control.
func Build() map[string]fakejail.Program {
	return map[string]fakejail.Program{
		"dpkg-source": checked(dpkgSource), "dpkg-buildpackage": BuildPackage,
		"dpkg-genchanges": checked(genChanges), "sh": shell, "bash": shell,
		"tar": checked(tarProgram), "find": checked(find), "rm": checked(remove), "du": checked(du),
		"true": fakejail.Prints("", 0), "false": fakejail.Prints("", 1),
	}
}

// checked is a program that fails with an error.
func checked(run func(p *fakejail.Proc) error) fakejail.Program {
	return func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		if err := run(p); err != nil {
			return p.Fail(fmt.Errorf("%s: %w", p.Argv[0], err))
		}
		return fakejail.Exit(0)
	}
}

// shell knows the scripts of nsbuild's own. Of any other it runs the first word as a program, with
// the words behind it.
func shell(ctx context.Context, p *fakejail.Proc) sandbox.Status {
	if len(p.Argv) < 3 || !strings.HasPrefix(p.Argv[1], "-") {
		return p.Fail(fmt.Errorf("sh: %q: only -c is known", p.Argv))
	}
	script, args := p.Argv[2], p.Argv[3:]
	switch {
	case strings.HasPrefix(script, `cat "$1" debian/changelog`):
		return checked(prependEntry)(ctx, p)
	case strings.HasPrefix(script, "exec find / "):
		return checked(listFiles)(ctx, p)
	case strings.HasPrefix(script, "set -e\nmkdir root tmp scripts\n"):
		return checked(prepareRoot)(ctx, p)
	case strings.HasPrefix(script, "umask "):
		return p.Exec(ctx, args[1:]...)
	case strings.HasPrefix(script, `chmod a+x "$0"`):
		return p.Exec(ctx, args[0])
	}
	words := strings.Fields(script)
	if len(words) == 0 {
		return fakejail.Exit(0)
	}
	return p.Exec(ctx, words...)
}
