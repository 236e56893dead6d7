// Package sources tests what can be built: each format of sources, git repositories, and what no
// source may have.
package sources

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }

// sameToRoot is why most of these tests run as a user only.
const sameToRoot = "what a source is does not depend on who asks for it"
