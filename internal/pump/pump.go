// Package pump reads what a command says through a pipe, and stops waiting soon after the command
// has ended: what it left running may hold the pipe for ever. Starting the command, and ending what
// it left, is left to the caller.
package pump

import (
	"errors"
	"io"
	"os"
	"time"
)

// Grace is how long the output of a command that has ended is still waited for.
const Grace = 500 * time.Millisecond

// Pump is a pipe that is being read.
type Pump struct {
	// W is the end that the command writes to.
	W *os.File

	r    *os.File
	done chan error
}

// Start begins to copy a pipe to a writer.
func Start(to io.Writer) (*Pump, error) {
	return StartFunc(func(r io.Reader) error {
		_, err := io.Copy(to, r)
		return err
	})
}

// StartFunc begins to read a pipe by a function, which reads to the end and may return the error
// that ended it.
func StartFunc(read func(io.Reader) error) (*Pump, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &Pump{w, r, make(chan error, 1)}
	go func() { p.done <- read(r) }()
	return p, nil
}

// Finish is called once the command has ended, or could not be started; W is closed by then. It
// returns when all was read, or after Grace what there was by then.
func (p *Pump) Finish() error {
	err := p.r.SetReadDeadline(time.Now().Add(Grace))
	read := <-p.done
	if errors.Is(read, os.ErrDeadlineExceeded) {
		read = nil
	}
	return errors.Join(err, read, p.r.Close())
}
