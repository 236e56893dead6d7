// Package hooks holds the hooks that come with nsbuild. docs/hooks.md tells of each.
package hooks

import (
	"embed"
	"io/fs"
)

//go:embed autopkgtest blhc ccache changed-files eatmydata install-test lintian shell-on-failure
var shipped embed.FS

// Shipped are the hooks, a directory each.
func Shipped() fs.FS { return shipped }
