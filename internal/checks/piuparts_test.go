package checks

import (
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/sandbox"
)

// TestPiupartsFindings reads what piuparts writes.
func TestPiupartsFindings(t *testing.T) {
	const before, after = "0m1.8s INFO: Running scripts pre_test\n",
		"0m2.2s INFO: Running scripts pre_install\n"
	links := func(lines ...string) string {
		return "0m2.2s ERROR: WARN: Broken symlinks:\n  " + strings.Join(lines, "\n  ") +
			"\n0m2.3s DEBUG: Command ok: ['true']\n"
	}
	for _, c := range []struct {
		about, text     string
		status          sandbox.Status
		outcome, detail string
	}{
		{"nothing", before + after + "0m7.1s INFO: PASS: All tests.\n", sandbox.Status{},
			OutcomePass, ""},
		{"a link", before + after + links("/a -> /b (x)", "/c -> /d (x)"), sandbox.Status{},
			OutcomeWarn, "Broken symlinks: /a -> /b (x)"},
		{"a link of the base", before + links("/a -> /b") + after + links("/a -> /b (base-files)"),
			sandbox.Status{}, OutcomePass, ""},
		{"another, too", before + links("/a -> /b") + after + links("/a -> /b (base-files)",
			"/c -> /d (x)") + after, sandbox.Status{}, OutcomeWarn,
			"Broken symlinks: /c -> /d (x)"},
		{"left", after + links("/c -> /d") + "0m6.4s ERROR: FAIL: Package purging left files on " +
			"system:\n  /var/lib/left/\t not owned\n  /x\t not owned\n\n0m6.5s ERROR: FAIL: " +
			"Installation and purging test.\n", sandbox.Status{Code: 1}, OutcomeFail,
			"Package purging left files on system: /var/lib/left/ not owned"},
		{"runs", after +
			"0m4.5s ERROR: FAIL: Processes are running inside chroot:\n  COMMAND PID\n",
			sandbox.Status{Code: 1}, OutcomeFail, "Processes are running inside chroot"},
		{"cannot be installed", before + after + "0m3.5s ERROR: Command failed (status=100): " +
			"['chroot', '/x', 'apt-get']\n  The following packages have unmet dependencies:\n   " +
			"n : Depends: nosuch but it is not installable\n  E: Held.\n  \n0m3.5s ERROR: " +
			"piuparts run ends.\n",
			sandbox.Status{Code: 1}, OutcomeFail,
			"n : Depends: nosuch but it is not installable; E: Held."},
		{"a script fails", before + after + "0m3.5s ERROR: Command failed (status=100): " +
			"['chroot']\n  dpkg: error processing package n (--configure):\n   installed n " +
			"package post-installation script subprocess returned error exit status 3\n  E: 1\n",
			sandbox.Status{Code: 1}, OutcomeFail, "dpkg: error processing package n " +
				"(--configure): installed n package post-installation script subprocess returned " +
				"error exit status 3; E: 1"},
		{"a command fails",
			before + "0m3.5s ERROR: Command failed (status=1): ['chroot', 'x']\n  x\n",
			sandbox.Status{Code: 1}, OutcomeFail, "Command failed (status=1): ['chroot', 'x']"},
		{"the base cannot be copied", "0m3.5s ERROR: Command failed (status=1): ['cp']\n  cp: no\n",
			sandbox.Status{Code: 1}, "",
			"piuparts: exit status 1: Command failed (status=1): ['cp']"},
		{"not to be tested", "0m1.0s INFO: SKIP: All tests. Package cannot be tested with " +
			"piuparts: n.\n0m1.1s INFO: PASS: All tests.\n", sandbox.Status{}, OutcomeSkipped,
			"All tests. Package cannot be tested with piuparts: n."},
		{"never to be tested",
			"0m1.0s INFO: FAIL: All tests. Package cannot be tested with piuparts: n.\n",
			sandbox.Status{Code: 1}, OutcomeFail,
			"All tests. Package cannot be tested with piuparts: n."},
		{"a failure that is to be a warning",
			before + after +
				"0m6.4s INFO: Warning: Package purging left files on system:\n  /x\t not owned\n",
			sandbox.Status{}, OutcomeWarn, "Package purging left files on system: /x not owned"},
		{"an exception", before + after + "\nPiuparts caught exception, " +
			"exiting...\n-----\nTraceback\nValueError: no\n-----\n0m1.0s ERROR: piuparts run ends.\n", sandbox.Status{Code: 1}, "", "piuparts: exit status 1: ValueError: no"},
		{"says nothing", "", sandbox.Status{Code: 1}, "", "piuparts: exit status 1: "},
		{"a line without end", after + "0m1.0s ERROR: FAIL: " + strings.Repeat("x", 1<<20) + "\n",
			sandbox.Status{Code: 1}, OutcomeFail,
			strings.Repeat("x", maxFindingLine-len("0m1.0s ERROR: FAIL: "))},
		{"escapes", "0m1.0s ERROR: FAIL: \x1b[2J\n", sandbox.Status{Code: 1}, OutcomeFail, "^[[2J"},
		{"killed", after, sandbox.Status{Signal: syscall.SIGKILL}, "",
			"piuparts: killed by signal 9 (killed): "},
		{"its options", "Usage: piuparts\n\npiuparts: error: no such option: --x\n",
			sandbox.Status{Code: 2}, "",
			"piuparts: exit status 2: piuparts: error: no such option: --x"},
	} {
		for _, size := range []int{1, 7, 1 << 12} { // output comes in any pieces
			var f piupartsFindings
			for text := c.text; text != ""; {
				n := min(size, len(text))
				if _, err := f.Write([]byte(text[:n])); err != nil {
					t.Fatal(err)
				}
				text = text[n:]
			}
			outcome, detail, err := f.outcome(c.status)
			if err != nil {
				detail = err.Error()
			}
			if outcome != c.outcome || detail != c.detail || (err != nil) != (c.outcome == "") {
				t.Errorf("%s, in pieces of %d: %q %q %v", c.about, size, outcome, detail, err)
			}
		}
	}
}
