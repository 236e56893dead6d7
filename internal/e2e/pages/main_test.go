// Package pages runs what the documentation says, as its readers would: page by page, in a home
// directory of its own.
package pages

import (
	"testing"

	"nsbuild/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
