package sbuildrc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var testKeys = []string{"distribution", "build_source", "lintian_opts", "external_commands",
	"log_dir", "maintainer_name", "mailto_hash", "verbose", "extra_repositories"}

func newConfig() *Config {
	return New(testKeys, []string{"USER=pete", "EMPTY="}, "/home/pete")
}

// show writes a value as Perl would have it, in one way.
func show(v *Value) string {
	switch v.Kind {
	case Undef:
		return "undef"
	case Scalar:
		return fmt.Sprintf("%q", v.Text)
	case Pattern:
		return "/" + v.Text + "/"
	case List:
		var items []string
		for _, i := range v.Items {
			items = append(items, show(i))
		}
		return "[" + strings.Join(items, " ") + "]"
	case Hash:
		var fields []string
		for _, k := range v.Keys() {
			fields = append(fields, k+":"+show(v.Fields[k]))
		}
		return "{" + strings.Join(fields, " ") + "}"
	}
	return "unreadable (" + v.Text + ")"
}

// shown are the settings of a configuration, one a line.
func shown(c *Config) string {
	var out strings.Builder
	for _, s := range append(c.Settings(), c.Environment()...) {
		fmt.Fprintf(&out, "%s=%s@%d ", s.Name, show(s.Value), s.Line)
	}
	for _, n := range c.Notes {
		fmt.Fprintf(&out, "note %s ", n)
	}
	return strings.TrimSpace(out.String())
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"1;\n", ""},
		{"# $distribution = 'x';\n\n$distribution = 'sid'; # a comment\n1;",
			`$distribution="sid"@3`},
		{"$distribution='a';\n$distribution = \"b\";", `$distribution="b"@2`},
		{"use strict; use Dpkg::BuildInfo;\n$build_source = 1", `$build_source="1"@2`},
		{`$verbose = -1; $build_source = 1_000;`, `$build_source="1000"@1 $verbose="-1"@1`},
		{`$log_dir = "$HOME/logs"; $distribution = $ENV{'USER'} . '/' . $ENV{NONE};`,
			`$distribution="pete/"@1 $log_dir="/home/pete/logs"@1`},
		{`$log_dir = "$ENV{HOME}x${HOME}/$ENV{USER}\$ \@";`, `$log_dir="x/home/pete/pete$ @"@1`},
		{`$log_dir = $ENV{EMPTY} || 'a'; $distribution = $ENV{EMPTY} // 'b'; $build_source = $ENV{EMPTY} ? 1 : 0;`, `$build_source="0"@1 $distribution=""@1 $log_dir="a"@1`},
		{`$lintian_opts = ['-i', "-I", q(a(b)c), qw( d e ), 5, undef,];`,
			`$lintian_opts=["-i" "-I" "a(b)c" "d" "e" "5" undef]@1`},
		{"$lintian_opts = [];\npush @{$lintian_opts}, '-i';\npush(@$lintian_opts, 'a', " +
			"'b');\nunshift @{ $lintian_opts }, ('x', 'y');",
			`$lintian_opts=["x" "y" "-i" "a" "b"]@4`},
		{`push @{$external_commands->{"pre-build-commands"}}, ['a', 'b'], 'c d';`,
			`$external_commands={pre-build-commands:[["a" "b"] "c d"]}@1`},
		{"$external_commands = {\n  \"build-failed-commands\" => [ [ '%SBUILD_SHELL' ] ],\n  x " +
			"=> { y => 1 },\n};",
			`$external_commands={build-failed-commands:[["%SBUILD_SHELL"]] x:{y:"1"}}@1`},
		{`$mailto_hash->{'sid'} = 'a'; $mailto_hash->{trixie}[1]{z} = 'b'; $$mailto_hash{q} = 'c';`,
			`$mailto_hash={q:"c" sid:"a" trixie:[undef {z:"b"}]}@1`},
		{`my @a = ('x', 'y'); my $b = \@a; push @a, 'z'; $lintian_opts = [@a, @$b]; $extra_repositories = $b;`, `$extra_repositories=["x" "y" "z"]@1 $lintian_opts=["x" "y" "z" "x" "y" "z"]@1`},
		{`my %h = (a => 1, 'b', 2); $mailto_hash = \%h; $distribution = $h{b};`,
			`$distribution="2"@1 $mailto_hash={a:"1" b:"2"}@1`},
		{`%mailto = (sid => 'x@example.org');`, `%mailto={sid:"x@example.org"}@1`},
		{`my $distribution = 'hidden';`, ""},
		{`$distribution = 'a'; $distribution .= '-b'; $log_dir //= 'c'; $log_dir ||= 'd';`,
			`$distribution="a-b"@1 $log_dir="c"@1`},
		{"$maintainer_name = <<EOF;\nA $ENV{USER}\nEOF\n$distribution = 'x';",
			`$distribution="x"@4 $maintainer_name="A pete\n"@1`},
		{"$lintian_opts = [<<'A', <<~B, 'c'];\n$x\nA\n  y\n   z\n  B\n$verbose = 1;",
			`$lintian_opts=["$x\n" "y\n z\n" "c"]@1 $verbose="1"@7`},
		{"=pod\n\n$distribution = 'x';\n\n=cut\n\n$verbose = 2;\n=head1 A\n$verbose = 3;\n",
			`$verbose="2"@7`},
		{"$verbose = 1;\n__END__\nanything { at ' all", `$verbose="1"@1`},
		{`$distribution = 'it\'s \\ \n';`, `$distribution="it's \\ \\n"@1`},
		{`undef $distribution; $verbose = undef;`, `$distribution=undef@1 $verbose=undef@1`},
		{`$ENV{'DEB_BUILD_OPTIONS'} = 'nocheck';`, `$ENV{DEB_BUILD_OPTIONS}="nocheck"@1`},
	} {
		cfg := newConfig()
		if err := cfg.Parse("f", c.text); err != nil {
			t.Errorf("%s\n%v", c.text, err)
		} else if got := shown(cfg); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
}

// TestUnreadable reads what is more than a few forms: the variables that it names are marked, and
// the rest of the file is read.
func TestUnreadable(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"$distribution = 'a';\n$distribution = `date`;\n$verbose = 1;",
			"$distribution=unreadable (the form \"`date`;\" is not understood)@2 $verbose=\"1\"@3"},
		{"if (-M '/x') {\n  $distribution = 'a;}';\n} else { $build_source = 1; }\n$verbose = 1;",
			`$build_source=unreadable (the form "-M '/x') {" is not understood)@1 $distribution=unreadable (the form "-M '/x') {" is not understood)@1 $verbose="1"@4`},
		{"while ($verbose) { $distribution = $lintian_opts->[0]; }\n$build_source = $verbose;",
			`$build_source=undef@2 $distribution=unreadable (the form "while ($verbose) { $distribution = $lint…" is not understood)@1`},
		{"f(\\$distribution); chomp $log_dir; $maintainer_name =~ s/a/b/; $lintian_opts->[0] = " +
			"g(); print @$extra_repositories;", "$distribution=unreadable (the form " +
			"\"f(\\\\$distribution); chomp $log_dir; $main…\" is not understood)@1 " +
			"$lintian_opts=unreadable (the form \"g(); print @$extra_repositories;\" is not " +
			"understood)@1 $log_dir=unreadable (the form \"chomp $log_dir; $maintainer_name =~ " +
			"s/a/…\" is not understood)@1 " +
			"$maintainer_name=unreadable (the form \"=~ s/a/b/; $lintian_opts->[0] = g(); pri…\" " +
			"is not understood)@1 note f:1: not read: the form \"print @$extra_repositories;\" " +
			"is not understood"},
		{"$verbose = 1;\n$distribution = 'a' if f();",
			`$distribution=unreadable (the form "f();" is not understood)@2 $verbose="1"@1`},
		{"$verbose = 1;\n$distribution = 'a' if $ENV{X};", `$verbose="1"@1`},
		{"$maintainer_name = \"A <a@example.org>\";",
			`$maintainer_name=unreadable (an @ within double quotes stands for a list; write \@)@1`},
		{"my $x = cwd();\n$log_dir = \"$x/logs\";",
			`$log_dir=unreadable (it is made of $x, which is not read)@2 note f:1: not read: the form "cwd();" is not understood`},
		{"sub f { return 'a' }\n$verbose = 1;",
			`$verbose="1"@2 note f:1: not read: the form "sub f { return 'a' }" is not understood`},
		{"($distribution = 'x') =~ s{;}{'};\n$verbose = 1;",
			`$distribution=unreadable (the form "($distribution = 'x') =~ s{;}{'};" is not understood)@1 $verbose="1"@2`},
		{"push @{$lintian_opts}, map { \"-$_\" } qw(a b);\n$verbose = 1;",
			`$lintian_opts=unreadable (the form "map { \"-$_\" } qw(a b);" is not understood)@1 $verbose="1"@2`},
		{"$lintian_opts = 'a';\npush @$lintian_opts, 'b';",
			`$lintian_opts=unreadable (a list is made of something that is none)@2`},
		{"$verbose = 0x10;", `$verbose=unreadable (the form "0x10;" is not understood)@1`},
		{"print 'hello';\n", `note f:1: not read: the form "print 'hello';" is not understood`},
		{"$distribution = $lintian_opts->[0]{x} . foo(<<A, 2);\n'\nA\n$verbose = 1;",
			`$distribution=unreadable (the form "foo(<<A, 2);" is not understood)@1 $verbose="1"@4`},
		{"$x = 1;", "error f:1: $x is no key of sbuild's, and not declared with my"},
		{"$verbose = 1;\n$distributon = 'sid';",
			"error f:2: $distributon is no key of sbuild's, and not declared with my"},
		{"$verbose = 1;\n\n$distribution = 'sid;\n",
			"error f:3: a string that begins here never ends"},
		{"$distribution = [\n", "error f:2: the file ends within brackets"},
		{"$distribution = <<EOF;\nabc\n", "error f:1: the text that ends with EOF never does"},
		{"}\n", `error f:1: '}' closes nothing`},
		{"$distribution = " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + ";",
			`$distribution=unreadable (it is nested too deep)@1`},
	} {
		cfg := newConfig()
		err := cfg.Parse("f", c.text)
		got := shown(cfg)
		if err != nil {
			got = "error " + err.Error()
		}
		if got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
}

// TestReadFile has later files win, and those that are not there do nothing.
func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	for name, text := range map[string]string{
		one: "$distribution = 'a';\n$lintian_opts = ['x'];\nmy $own = 1;\n",
		two: "\n$distribution = 'b';\npush @$lintian_opts, 'y';\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := newConfig()
	for _, name := range []string{one, filepath.Join(dir, "none"), two} {
		if err := c.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	all := c.Settings()
	if len(all) != 2 || all[0].Text != "b" || all[0].Origin() != two+":2" ||
		show(all[1].Value) != `["x" "y"]` {
		t.Error(shown(c))
	}
	if err := os.WriteFile(one, make([]byte, maxFile+1), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := c.ReadFile(one); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a huge file: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := c.ReadFile(pipe); err == nil || !strings.Contains(err.Error(), "it is a pipe") {
		t.Errorf("a pipe: %v", err)
	}
}

func TestFiles(t *testing.T) {
	env := map[string]string{}
	get := func(name string) string { return env[name] }
	if got, want := strings.Join(Files(get, "/h"), " "),
		"/etc/sbuild/sbuild.conf /h/.sbuildrc"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	env["XDG_CONFIG_HOME"], env["SBUILD_CONFIG"] = "/x", "/more"
	if got, want := strings.Join(Files(get, "/h"), " "),
		"/etc/sbuild/sbuild.conf /h/.sbuildrc /more"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	dir := t.TempDir()
	own := filepath.Join(dir, "sbuild", "config.pl")
	if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, []byte("1;\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	env["XDG_CONFIG_HOME"] = dir
	if got, want := strings.Join(Files(get, "/h"), " "), "/etc/sbuild/sbuild.conf "+own+
		" /more"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzParse: whatever a file holds, parsing ends, and lines are lines of it.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"$distribution = 'sid';\n1;", "$external_commands = { 'a-b' => [ ['x', \"$HOME\"] ] };",
		"push @{$lintian_opts}, qw(a b), <<A . <<~'B';\nx\nA\n y\n B\n",
		"if ($x) { $verbose = m/;/; }",
		"my @a = (1, 2); $lintian_opts = \\@a; $a[3]{x}->[1] = $ENV{X} // q{y};",
		"=pod\n$x\n=cut\n$log_dir .= 's' ? tr/a/b/ : y{a}{b};", "@{${$x}{y}} = ; $$ $# @$",
		"$verbose = \"\\x{41} @ $ ${ HOME }\";",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := newConfig()
		if err := c.Parse("f", text); err != nil {
			return
		}
		for _, s := range append(c.Settings(), c.Environment()...) {
			if s.Line < 1 || s.Line > 1+strings.Count(text, "\n") {
				t.Errorf("%s: line %d", s.Name, s.Line)
			}
		}
	})
}
