package sandbox

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"nsbuild/internal/testenv"
)

// keysApplet tells whether a command can ask for keys.
func keysApplet([]string) int {
	_, err := unix.KeyctlInt(unix.KEYCTL_GET_KEYRING_ID, unix.KEY_SPEC_SESSION_KEYRING, 0, 0, 0)
	fmt.Println(errors.Is(err, unix.ENOSYS))
	return 0
}

// TestCallersKeys has the calls about keys in a jail that has the caller's ids, for jail root too,
// and in no other.
func TestCallersKeys(t *testing.T) {
	if _, err := unix.KeyctlInt(unix.KEYCTL_GET_KEYRING_ID, unix.KEY_SPEC_SESSION_KEYRING, 0, 0,
		0); errors.Is(err, unix.ENOSYS) {
		testenv.Missing(t, "kernel", "needs a kernel with keys")
	}
	for want, spec := range map[string]Spec{
		"false\n": {}, "true\n": {Caller: &Caller{UID: 1000, GID: 1000}}} {
		h := startHolder(t)
		spec.Root = Root{Lowers: []Lower{{Path: testRoot(t, h)}}}
		j, err := h.NewJail(context.Background(), spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, uid := range []int{0, 1000} {
			if out, st := run(t, j, Command{Applet: "keys", UID: uid, GID: uid}); out != want ||
				!st.Success() {
				t.Errorf("caller %v, uid %d: calls are forbidden: %q %v", spec.Caller, uid, out, st)
			}
		}
	}
}
