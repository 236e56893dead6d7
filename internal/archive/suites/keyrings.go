package suites

import "embed"

// embeddedKeyrings are the keyrings that ship with nsbuild.
//
//go:embed keyrings/*.gpg
var embeddedKeyrings embed.FS

// Keyring is one of the keyrings that ship with nsbuild, by its base name in /usr/share/keyrings.
func Keyring(name string) ([]byte, error) { return embeddedKeyrings.ReadFile("keyrings/" + name) }
