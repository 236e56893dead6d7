package index

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/deb822"
)

// Offer is what choosing among packages needs to know of one. A suite has some 60,000, so nothing
// else is kept, nor even looked at.
type Offer struct {
	Package, Version, Priority string
	PreDepends, Depends        string // on one line
	Provides                   string // the same
	Essential                  bool

	list *List
	at   int64 // where it begins there
	size int
}

// Offers is Packages for whoever wants few of many: Offer.Read has the rest of one.
func (x *Indices) Offers(ctx context.Context, r *release.File, component, arch string,
	fn func(*Offer) error) error {
	return x.EachList(ctx, r, component, arch, func(l *List) error { return l.offers(ctx, fn) })
}

func (l *List) offers(ctx context.Context, fn func(*Offer) error) error {
	var text textFields
	return eachRaw(ctx, l.Path, l.Label, func(raw []byte, at int64) error {
		o, arch := readOffer(raw, &text)
		if o.Package == "" || o.Version == "" || !l.takes(arch) {
			return nil // it is nothing that can be chosen
		}
		o.list, o.at, o.size = l, at, len(raw)
		return fn(o)
	})
}

// eachRaw has fn look at the text of each paragraph of an index, and where the text begins. The
// label is what errors call the index.
func eachRaw(ctx context.Context, path, label string, fn func(raw []byte, at int64) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	defer f.Close()
	s := Scan(f)
	for raw, ok := s.Raw(); ok; raw, ok = s.Raw() {
		if s.Count()%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := fn(raw, s.Offset()); err != nil {
			return err
		}
	}
	if s.Err() != nil {
		return failure.WithHint(fmt.Errorf("%s: %w", label, failure.Malformed(s.Err())))
	}
	return nil
}

// readOffer takes the fields that count out of a paragraph, by way of text.
func readOffer(raw []byte, text *textFields) (o *Offer, arch string) {
	o = &Offer{}
	var essential string
	text.reset()
	for len(raw) > 0 {
		var line []byte
		line, raw = deb822.CutLine(raw)
		if len(line) == 0 || strings.IndexByte("ADEPV", line[0]) < 0 {
			continue
		}
		var into *string
		for _, f := range [...]struct {
			name string
			into *string
		}{
			{"Package:", &o.Package}, {"Version:", &o.Version}, {"Architecture:", &arch},
			{"Depends:", &o.Depends}, {"Pre-Depends:", &o.PreDepends}, {"Priority:", &o.Priority},
			{"Provides:", &o.Provides}, {"Essential:", &essential},
		} {
			if line[0] == f.name[0] && len(line) >= len(f.name) &&
				string(line[:len(f.name)]) == f.name {
				line, into = line[len(f.name):], f.into
				break
			}
		}
		if into == nil {
			continue
		}
		line, raw = unfolded(line, raw)
		text.add(into, bytes.TrimSpace(line)) // of two, the first; Read will refuse it
	}
	text.settle()
	o.Essential = essential == "yes"
	return o, arch
}

// unfolded is a value with the lines in which it goes on, as one, and what comes behind them.
func unfolded(value, raw []byte) (whole, rest []byte) {
	for len(raw) > 0 && (raw[0] == ' ' || raw[0] == '\t') {
		var more []byte
		more, raw = deb822.CutLine(raw)
		value = append(bytes.Clone(value), more...)
	}
	return value, raw
}

// Read has the whole of what the list says.
func (o *Offer) Read() (*Package, error) {
	f, err := os.Open(o.list.Path)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	defer f.Close()
	s := Scan(io.NewSectionReader(f, o.at, int64(o.size)))
	if !s.Next() {
		return nil,
			failure.WithHint(fmt.Errorf("%s: package %s: %w", o.list.Label, o.Package,
				cmp.Or(failure.Malformed(s.Err()), io.ErrUnexpectedEOF)))
	}
	return o.list.Parse(s)
}
