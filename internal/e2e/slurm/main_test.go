// Package slurm tests batches on a real Slurm: a controller and two nodes, all on this machine.
package slurm

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
