package testenv

import (
	"testing"
	"time"
)

// Eventually waits up to 20 seconds until a condition holds, and fails the test when it does not.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(
		5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("it did not come about that %s", what)
}
