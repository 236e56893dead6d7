// Package jails tests run, shell and sessions, their limits, and the verbs that need no base.
package jails

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
