package pid1

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/sandbox/relay"
	"nsbuild/internal/sandbox/wire"
)

// guestOf is a client, and the other end of its connection.
func guestOf(t *testing.T) (*client, *wire.Conn) {
	t.Helper()
	ours, theirs, err := wire.Socketpair()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := wire.New(ours)
	if err != nil {
		t.Fatal(err)
	}
	other, err := wire.New(theirs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); other.Close() })
	return &client{conn: conn, jail: 1}, other
}

// heard is the event that a client is told next; nil when it is told nothing.
func heard(t *testing.T, c *wire.Conn, patience time.Duration) *wire.Message {
	t.Helper()
	m, files, err := c.RecvWithin(patience)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil || len(files) > 0 {
		t.Fatalf("%d descriptors, %v", len(files), err)
	}
	return m
}

const soon, never = time.Minute, 20 * time.Millisecond

// reapOne is what the reaper does when it has found a child that has ended.
func (t *children) reapOne(pid, code int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reaped(pid, wire.Status{Code: code})
}

// TestEndBeforeAnswer has a command end before the helper has said which process it is. Its end is
// told once, after its beginning, and nothing of it is kept.
func TestEndBeforeAnswer(t *testing.T) {
	guest, other := guestOf(t)
	all := newChildren()
	all.expect()
	all.reapOne(70, 1) // an orphan that was adopted
	all.reapOne(71, 3)
	all.answered(71, nil, nil)
	if m := heard(t, other, never); m != nil {
		t.Errorf("told before its beginning: %+v", m)
	}
	all.settle(command{guest, 5}, 71, false)
	m := heard(t, other, soon)
	if m == nil || m.Op != wire.OpExit || m.Handle != 5 || m.Status.Code != 3 || m.Err != nil {
		t.Errorf("%+v", m)
	}
	if m := heard(t, other, never); m != nil {
		t.Errorf("told of another, too: %+v", m)
	}
	if all.asking || len(all.orphans)+len(all.commands)+len(all.pids) > 0 {
		t.Errorf("left in the tables: %+v", all)
	}
	// Nobody asks now: what is adopted and ends is forgotten.
	all.reapOne(72, 0)
	if len(all.orphans) > 0 {
		t.Errorf("kept: %v", all.orphans)
	}
}

// TestStoppedBeforeAnswer tells of a command that was stopped so early, and of its end later.
func TestStoppedBeforeAnswer(t *testing.T) {
	guest, other := guestOf(t)
	all := newChildren()
	all.expect()
	all.mu.Lock()
	all.paused(71)
	all.mu.Unlock()
	all.answered(71, nil, nil)
	all.settle(command{guest, 5}, 71, true)
	if m := heard(t, other, soon); m == nil || m.Op != wire.OpPause || m.Handle != 5 {
		t.Errorf("%+v", m)
	}
	if !all.sessionLeaders()[71] {
		t.Error("it leads a session of ours")
	}
	all.reapOne(71, 0)
	if m := heard(t, other, soon); m == nil || m.Op != wire.OpExit {
		t.Errorf("%+v", m)
	}
	if all.sessionLeaders()[71] {
		t.Error("its number may become another process's")
	}
}

// TestNotStarted forgets what was reaped meanwhile when the helper has started nothing.
func TestNotStarted(t *testing.T) {
	guest, other := guestOf(t)
	all := newChildren()
	all.expect()
	all.reapOne(71, 3)
	all.answered(0, nil, errors.New("no such program"))
	all.settle(command{guest, 5}, 0, false)
	if m := heard(t, other, never); m != nil {
		t.Errorf("%+v", m)
	}
	if all.asking || len(all.orphans) > 0 {
		t.Errorf("left in the tables: %+v", all)
	}
}

// TestGuestForgotten ends a guest's commands without a word, and leaves those of others.
func TestGuestForgotten(t *testing.T) {
	one, _ := guestOf(t)
	two, other := guestOf(t)
	all := newChildren()
	all.settle(command{one, 5}, 71, false)
	all.settle(command{two, 5}, 72, false)
	if pids := all.forget(one); len(pids) != 1 || pids[0] != 71 {
		t.Errorf("%v", pids)
	}
	all.reapOne(71, 0)
	all.reapOne(72, 4)
	if m := heard(t, other, soon); m == nil || m.Status.Code != 4 {
		t.Errorf("%+v", m)
	}
	if err := all.signal(command{one, 5}, syscall.SIGTERM); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("a signal for what is gone: %v", err)
	}
}

// TestEndAfterOutput does not tell of a command's end before what it has written is where it
// belongs, but where its client does not want to wait for that.
func TestEndAfterOutput(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, full, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer full.Close()
	if err := full.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = full.Write(make([]byte, 4096))
	}
	// A jail with the caller's ids has no pipe of the caller's itself.
	passed, between, done, err := relay.Jail{CallersIDs: true}.Between(
		[]*os.File{null, full, full})
	if err != nil || between == nil {
		t.Fatal(between, err)
	}
	if _, err := passed[1].WriteString("text"); err != nil {
		t.Fatal(err)
	}
	done()
	guest, other := guestOf(t)
	all := newChildren()
	all.expect()
	all.answered(71, between, nil)
	all.settle(command{guest, 5}, 71, false)
	all.reapOne(71, 0)
	if m := heard(t, other, never); m != nil {
		t.Errorf("told before all was written: %+v", m)
	}
	if err := all.signal(command{guest, 5}, syscall.SIGINT); err != nil {
		t.Error(err)
	}
	if m := heard(t, other, soon); m == nil || m.Op != wire.OpExit {
		t.Errorf("%+v", m)
	}
}
