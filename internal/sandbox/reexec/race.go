//go:build race

package reexec

// detector has a process with the race detector exit at once, not after a second of sleep.
func detector() []string { return []string{"GORACE=atexit_sleep_ms=0"} }
