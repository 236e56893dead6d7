// Package hooks tests hooks and commands of users, at every moment of every verb.
package hooks

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
