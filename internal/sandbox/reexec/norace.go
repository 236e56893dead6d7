//go:build !race

package reexec

func detector() []string { return nil }
