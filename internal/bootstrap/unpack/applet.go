package unpack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fault"
	"nsbuild/internal/rawjson"
	trees "nsbuild/internal/tree"
)

// Main runs the applet: `extract`, `preinst` or `finish`. It returns the exit status.
func Main(args []string) int {
	in, out := os.NewFile(InputFD, "plan"), os.NewFile(OutputFD, "results")
	mode := ""
	if len(args) == 1 {
		mode = args[0]
	}
	var err error
	switch mode {
	case "extract":
		// Packages are unpacked in a few large buffers: they cost nothing to look through, and
		// those left over would be most of the process.
		debug.SetMemoryLimit(96 << 20)
		err = Extract(in, out)
	case "preinst":
		err = runPreinsts(in, os.Stdout, out)
	case "finish":
		err = runFinish(in)
	default:
		err = fmt.Errorf("%s: it has the modes extract, preinst and finish, not %q", Name, args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Extract reads a Plan and Items from in, extracts the packages, and writes a Result for each to
// out. Failures of packages are results; the error is for what keeps the work from being done at
// all. It changes the process's root directory.
func Extract(in io.Reader, out io.Writer) error {
	dec := rawjson.NewDecoder(in)
	var plan Plan
	if err := dec.Decode(&plan); err != nil {
		return fmt.Errorf("reading the plan: %w", err)
	}
	debs, err := os.Open(plan.Debs)
	if err != nil {
		return err
	}
	defer debs.Close()
	if err := enter(plan.Tree); err != nil {
		return err
	}
	if err := prepare(plan); err != nil {
		return err
	}
	x := &extraction{plan: plan, debs: int(debs.Fd()), tree: newTree(plan),
		out: rawjson.NewEncoder(out), items: make(chan Item)}
	return x.run(dec)
}

// enter makes dir the root directory, so that paths and links resolve in the bare tree. This
// process does nothing else afterwards, so what pivot_root is needed for elsewhere does not matter
// here.
func enter(dir string) error {
	if err := unix.Chroot(dir); err != nil {
		return &os.PathError{Op: "chroot", Path: dir, Err: err}
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	unix.Umask(0o022)
	return nil
}

func prepare(plan Plan) error {
	if plan.Wipe {
		if err := wipe(); err != nil {
			return err
		}
	}
	for link, target := range plan.Links {
		if err := os.MkdirAll("/"+target, 0o755); err != nil {
			return err
		}
		if err := os.Symlink(target, link); err != nil {
			return err
		}
	}
	for p, body := range plan.Files {
		if err := ensureParent(p); err != nil {
			return err
		}
		if err := writeFile(p, []byte(body), 0o644, 0); err != nil {
			return err
		}
	}
	return nil
}

func wipe() error {
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := trees.Remove(context.Background(), "/"+e.Name()); err != nil {
			return err
		}
	}
	return nil
}

type extraction struct {
	plan  Plan
	debs  int // directory
	tree  *tree
	items chan Item

	mu     sync.Mutex
	out    *rawjson.Encoder
	outErr error
	all    []*unpacked
	failed bool
}

func (x *extraction) run(dec *rawjson.Decoder) error {
	workers := x.plan.Workers
	if workers <= 0 {
		workers = runtime.NumCPU()
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(x.work)
	}
	err := x.feed(dec)
	close(x.items)
	wg.Wait()
	if err != nil {
		return err
	}
	return x.end()
}

// feed hands the items on as they arrive: those marked First, one after the other, before all
// others.
func (x *extraction) feed(dec *rawjson.Decoder) error {
	first := x.plan.First
	var held []Item
	buf := make([]byte, bufSize)
	for {
		var item Item
		err := dec.Decode(&item)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the list of packages: %w", err)
		}
		switch {
		case item.First:
			x.one(item, buf)
			first--
			if first == 0 {
				for _, h := range held {
					x.items <- h
				}
				held = nil
			}
		case first > 0:
			held = append(held, item)
		default:
			x.items <- item
		}
	}
	if len(held) > 0 {
		return fmt.Errorf("%s for one that never came",
			fault.Count(len(held), "package waits", "packages wait"))
	}
	return nil
}

const bufSize = 128 << 10

func (x *extraction) work() {
	buf := make([]byte, bufSize)
	for item := range x.items {
		x.one(item, buf)
	}
}

func (x *extraction) one(item Item, buf []byte) {
	x.mu.Lock()
	skip := x.failed // the tree is lost already: only read what else arrives
	x.mu.Unlock()
	if skip {
		return
	}
	u, err := x.unpack(item, buf)
	x.report(item, u, err)
}

func (x *extraction) unpack(item Item, buf []byte) (*unpacked, error) {
	fd, err := unix.Openat(x.debs, item.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: item.Path, Err: err}
	}
	f := os.NewFile(uintptr(fd), item.Path)
	defer f.Close()
	u, err := x.tree.extract(f, item, buf)
	if err != nil {
		return nil, err
	}
	if x.plan.Database {
		if err := writeInfo(u); err != nil {
			return nil, err
		}
	}
	return u, nil
}

func (x *extraction) report(item Item, u *unpacked, err error) {
	r := Result{Item: item.Path}
	if u != nil {
		r.Control, r.Files, r.Bytes = u.text, len(u.entries), u.bytes
		for _, f := range u.files {
			r.Preinst = r.Preinst || f.Name == "preinst"
		}
		u.drop()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if u != nil {
		x.all = append(x.all, u)
	}
	x.classify(&r, err, item.Name)
	if err := x.out.Encode(r); err != nil && x.outErr == nil {
		x.outErr = err
	}
}

func (x *extraction) classify(r *Result, err error, name string) {
	if err == nil {
		return
	}
	x.failed = true
	var inexact *inexactError
	if errors.As(err, &inexact) {
		r.Inexact = inexact.reason
		return
	}
	if name != "" {
		err = fmt.Errorf("unpacking %s: %w", name, err)
	}
	r.Error = err.Error()
}

// drop forgets what is on disk already.
func (u *unpacked) drop() {
	keep := u.files[:0]
	for _, f := range u.files {
		switch f.Name {
		case "triggers", "preinst":
			keep = append(keep, f)
		}
	}
	clear(u.files[len(keep):])
	u.files = keep
}

// end writes what needs all packages.
func (x *extraction) end() error {
	last := Result{Last: true}
	if !x.failed {
		var err error
		if x.plan.Database {
			err = writeDatabase(x.all)
		}
		if err == nil {
			epoch := x.plan.Epoch
			if epoch.IsZero() {
				epoch = time.Now()
			}
			err = x.tree.finishDirs(epoch.Unix())
		}
		x.classify(&last, err, "")
	}
	if err := x.out.Encode(last); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	if x.outErr != nil {
		return fmt.Errorf("writing the results: %w", x.outErr)
	}
	return nil
}
