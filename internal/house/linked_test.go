package house

import (
	"os/exec"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

// notLinked are modules that no package of the program may bring, and why.
var notLinked = map[string]string{
	"google.golang.org/protobuf": "it costs 2 MB and 1.5 ms of each start, and opens a file before " +
		"main, so that with few open files the runtime gives up",
	"github.com/in-toto/attestation": "it is made of protobuf: it is for tests",
}

// TestLinked looks at all that is linked into the program, what other modules import included.
func TestLinked(t *testing.T) {
	testenv.RequireTool(t, "go")
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "../../cmd/nsbuild")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Fields(string(out))
	if len(all) < 100 {
		t.Fatalf("only %d packages are linked: %s", len(all), out)
	}
	for _, path := range all {
		for module, why := range notLinked {
			if path == module || strings.HasPrefix(path, module+"/") {
				t.Errorf("%s is linked: %s", path, why)
			}
		}
	}
}
