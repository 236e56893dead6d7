package sandbox

import (
	"context"
	"net"
	"testing"
	"time"
)

// TestListen connects from a jail without network to a port that it was given.
func TestListen(t *testing.T) {
	j := hostJail(t, startHolder(t))
	l, err := j.Listen(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	said := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = c.Write([]byte("from outside\n"))
			c.Close()
		}
		said <- err
	}()
	port := l.Addr().String()[len("127.0.0.1:"):]
	out, st := run(t, j,
		Command{
			Argv: []string{"bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/" + port + "; cat <&3"},
			Env:  []string{"PATH=/bin:/usr/bin"}})
	if out != "from outside\n" || !st.Success() {
		t.Fatalf("%q, %s", out, st)
	}
	if err := <-said; err != nil {
		t.Error(err)
	}
	// The port is the jail's: here another may have it.
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return
	}
	defer c.Close()
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if c, err := l.Accept(); err == nil {
		c.Close()
		t.Error("the port is open outside of the jail")
	}
}
