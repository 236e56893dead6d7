package wire

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox/idmap"
	"nsbuild/internal/sandbox/syserr"
)

// messages have every field that can be sent, in the requests and answers that have it.
func messages() []*Message {
	return []*Message{
		{Op: OpSetup, ID: 1, Path: "/usr/bin/nsbuild", Holder: &HolderSpec{
			IDs: idmap.Map{Rung: idmap.RungSubIDs, UIDBase: 100000, GIDBase: 100000,
				Count: idmap.IDCount},
			ScratchSize: 1, ScratchDir: "/s", FallbackDir: "/f",
			Memory: "/m", Known: map[string]bool{"tmpfs": true},
			Limits: Limits{Memory: 1, CPUs: 0.5, PIDs: 2}, Group: "/g", Spare: Limits{PIDs: 3},
			Copy: true,
			Emulator: &Emulator{Name: "n", Magic: []byte{1}, Mask: []byte{255}, Interpreter: "/i",
				KeepArgv0: true},
			Inodes32: true, Require: LevelFull, Level: LevelShared, Personality32: true,
		}},
		{Op: OpSetup, Scratch: ScratchTmpfs, Found: map[string]bool{"tmpfs": true}, Err: ToWire(
			&syserr.Error{Op: "mount proc on", Path: "/proc", Errno: syscall.EPERM})},
		{Op: OpJail, ID: 2, Spec: &Spec{
			Root: Root{Lowers: []Lower{{Path: "/b"}, {Jail: 1}}, Dir: "/d", Seed: "/s",
				Upper: "/u", Plain: true,
				ReadOnly: true, Map: MapAll, Tree: 1},
			Mounts: []Mount{{Type: "bind", Source: "/a", Target: "/b", ReadOnly: true,
				NoExec: true, NoSuid: true, NoDev: true, NoSymFollow: true, NoLinks: true,
				Data: "x", Mkdir: true, Owner: 5, Private: true, Map: MapUsers, Tree: 2,
				Overlay: &Overlay{Lowers: []string{"/l"}, Upper: "u", Work: "w", Writable: "/w",
					Trees: []int{1}}}},
			Hostname: "h", Domain: "e", Network: NetworkNone, Personality32: true, KeepNames: true,
			Caller: &Caller{UID: 1, GID: 2}, Vary: &Vary{Dirs: 3, OldKernel: true},
		}},
		{Op: OpJail, ID: 2, Jail: 1, Notes: []string{"n"}, Plain: true},
		{Op: OpSetup, Spec: &Spec{}, Root: "/jail/1", Join: true, Limits: &Limits{Memory: 1}},
		{Op: OpExec, ID: 3, Handle: 4, Command: &Command{
			Argv: []string{"a\xff", "b"}, Applet: "x", Env: []string{"A=B"}, Dir: "/",
			UID: 1, GID: 2, Groups: []int{3}, Network: NetworkHost, Memory: 1, Terminal: true,
			Background: true, PID1: true,
		}},
		{Op: OpExec, ID: 3, PID: 7},
		{Op: OpExit, Handle: 4, Err: ToWire(errors.New("text")),
			Status: &Status{Code: 1, Signal: 9, MaxRSS: 2, User: time.Second, System: 3}},
		{Op: OpSignal, ID: 5, Handle: 4, Signal: 15},
		{Op: OpCreate, ID: 6, Jail: 1, Path: "p", Mode: 0o644, UID: 1, GID: 2},
		{Op: OpLink, ID: 7, Jail: 1, Path: "p", Target: "t"},
		{Op: OpStop, ID: 8, Strays: []Stray{{PID: 1, PPID: 2, Command: "c", Age: 3}}},
		{Op: OpUsage, ID: 9, Usage: &Usage{Processes: 1, Memory: 2, Disk: 3, DiskMore: true}},
	}
}

// TestMessages holds messages to the form that they had when this test was written. The supervisor
// of a session may be of an older version than who joins it: a field may come, none may change.
func TestMessages(t *testing.T) {
	text, err := os.ReadFile("testdata/messages.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != len(messages()) {
		t.Fatalf("%d messages, %d lines", len(messages()), len(lines))
	}
	for i, m := range messages() {
		sent, err := rawjson.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if string(sent) != lines[i] {
			t.Errorf("is sent as\n%s\nand was\n%s", sent, lines[i])
		}
		var received Message
		if err := rawjson.Unmarshal([]byte(lines[i]), &received); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, &received); diff != "" {
			t.Errorf("%s is received as another (-sent +received):\n%s", lines[i], diff)
		}
	}
}

// TestMessagesAreWhole makes sure that messages has every field that can be sent.
func TestMessagesAreWhole(t *testing.T) {
	set := map[string]bool{}
	for _, m := range messages() {
		note(set, reflect.ValueOf(m))
	}
	for field, is := range set {
		if !is {
			t.Errorf("no message sets %s", field)
		}
	}
}

// note notes which fields of structs are set, for all that is sent.
func note(set map[string]bool, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			note(set, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			note(set, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if field.Tag.Get("json") == "-" {
				continue
			}
			name := v.Type().Name() + "." + field.Name
			set[name] = set[name] || !v.Field(i).IsZero()
			note(set, v.Field(i))
		}
	}
}

// pair is a connection, and what is at the other end of it.
func pair(t *testing.T) (*Conn, *Conn, *os.File) {
	t.Helper()
	ours, theirs, err := Socketpair()
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(ours)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(theirs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close(); raw.Close() })
	return a, b, raw
}

// TestBounds sends as many descriptors as a message may have, and no more. Only the request that
// opens a jail may have more.
func TestBounds(t *testing.T) {
	a, b, null := pair(t)
	for _, c := range []struct {
		op   Op
		most int
	}{{OpExec, MaxFiles}, {OpJail, maxTrees}} {
		files := make([]*os.File, c.most)
		for i := range files {
			files[i] = null
		}
		if err := a.Send(&Message{Op: c.op}, append(files, null)...); err == nil {
			t.Errorf("%s takes %d descriptors", c.op, c.most+1)
		}
		if err := a.Send(&Message{Op: c.op}, files...); err != nil {
			t.Fatal(err)
		}
		m, got, err := b.Recv()
		if err != nil || m.Op != c.op || len(got) != c.most {
			t.Errorf("%s: %+v with %d descriptors, %v", c.op, m, len(got), err)
		}
		CloseFiles(got)
	}
	// what nobody sends is not waited for, nor given memory
	if _, err := a.u.Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Recv(); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a frame of 4 GiB: %v", err)
	}
}

// TestPatience gives up a peer that says nothing, and goes on with it afterwards.
func TestPatience(t *testing.T) {
	a, b, _ := pair(t)
	if _, _, err := b.RecvWithin(time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	go func() {
		if err := a.Send(&Message{Op: OpHello, Jail: 3}); err != nil {
			t.Error(err)
		}
	}()
	if m, _, err := b.Recv(); err != nil || m.Jail != 3 {
		t.Errorf("%+v, %v", m, err)
	}
	big := &Message{Op: OpExec, Command: &Command{Argv: []string{
		string(bytes.Repeat([]byte("x"), 4<<20))}}}
	if err := a.SendWithin(time.Millisecond, big); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("to a peer that does not read: %v", err)
	}
}
