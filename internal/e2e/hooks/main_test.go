// Package hooks tests hooks and commands of users, at every moment of every verb.
package hooks

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }

// sameToRoot is why most of these tests run as a user only.
const sameToRoot = "when hooks run, and what their failure means, is the same to root and " +
	"to others"
