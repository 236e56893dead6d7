package source

import (
	"os"
	"testing"

	"nsbuild/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main(nil) // what is re-executed as PID 1 does not return
	os.Exit(m.Run())
}
