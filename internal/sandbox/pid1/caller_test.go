package pid1

import (
	"testing"

	"nsbuild/internal/sandbox/wire"
)

// TestCallerGone: whatever way the caller ends, its end is no error of PID 1, even where the caller
// has not read the last answer.
func TestCallerGone(t *testing.T) {
	for name, end := range map[string]func(caller, own *wire.Conn) error{
		"nothing unread": func(caller, own *wire.Conn) error { return caller.Close() },
		"an answer unread": func(caller, own *wire.Conn) error {
			if err := own.Send(&wire.Message{}); err != nil {
				return err
			}
			return caller.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, err := wire.Socketpair()
			if err != nil {
				t.Fatal(err)
			}
			caller, err := wire.New(a)
			if err != nil {
				t.Fatal(err)
			}
			own, err := wire.New(b)
			if err != nil {
				t.Fatal(err)
			}
			defer own.Close()
			if err := end(caller, own); err != nil {
				t.Fatal(err)
			}
			if _, _, err := own.Recv(); !callerGone(err) {
				t.Errorf("reading: %v", err)
			}
			if err := own.Send(&wire.Message{}); !callerGone(err) {
				t.Errorf("writing: %v", err)
			}
		})
	}
}
