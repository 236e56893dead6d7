package hosts

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
)

// TestStart bounds what the packages of the program make before main, as the Go runtime counts it:
// three processes pay for it whenever a jail begins. What is wanted later is made when it is wanted
// (sync.OnceValue, or a function that returns the table).
func TestStart(t *testing.T) {
	const most, mostOfOne, mostOfAll = 12 << 10, 4 << 10, 240 << 10 // bytes
	c := exec.Command(e2e.Program(t), "--version")
	c.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	line := regexp.MustCompile(`(?m)^init (\S+) .* (\d+) bytes, \d+ allocs$`)
	sum, all, packages := 0, 0, 0
	for _, m := range line.FindAllStringSubmatch(string(out), -1) {
		bytes, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		packages++
		all += bytes
		if !strings.HasPrefix(m[1], "nsbuild/") && m[1] != "main" {
			continue // a library makes what it makes
		}
		t.Logf("%s: %d bytes", m[1], bytes)
		if sum += bytes; bytes > mostOfOne {
			t.Errorf("%s makes %d bytes before main", m[1], bytes)
		}
	}
	if all > mostOfAll {
		t.Errorf("with the libraries it is %d bytes: what does a new one make?\n%s", all, out)
	}
	if packages < 50 || sum == 0 || sum > most {
		t.Errorf("of %d packages, those of this tree make %d bytes before main", packages, sum)
	}
}
