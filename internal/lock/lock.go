// Package lock reads and writes lock files: the exact packages of a base, their hashes, and where
// they came from.
//
// The format is TOML with one line for each package, so that diff(1) shows what differs between two
// of them; docs/bases.md explains the fields. What is written was verified while the base was made,
// so a lock vouches for its packages by itself. What is made of it is left to internal/bases.
package lock

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// Format is the version of the format that this package writes; it reads no other.
const Format = 1

// maxSize bounds a lock file, in bytes: a base of ten thousand packages takes three million.
const maxSize = 16 << 20

// File is a lock file. The doc comments of its fields are repeated for users in docs/bases.md.
type File struct {
	Format  int    `toml:"format"`
	Suite   string `toml:"suite"`
	Arch    string `toml:"architecture"`
	Variant string `toml:"variant"`
	// Layout is what is special about the suite's tree, in the words of the suite table's Buildd.
	Layout     []string  `toml:"layout"`
	Include    []string  `toml:"include"`
	Exclude    []string  `toml:"exclude"`
	Components []string  `toml:"components"` // as the user gave them, as are the three that follow
	Mirror     []string  `toml:"mirror"`
	Keyring    string    `toml:"keyring"`
	Unverified bool      `toml:"unverified"`
	Epoch      time.Time `toml:"epoch"` // the time that nothing in the tree is younger than

	Repositories []Repository `toml:"repository"`

	Name   string `toml:"-"` // of the file that it was read from
	Digest string `toml:"-"` // that file's SHA-256, in hex
}

// Repository is one suite on one mirror, with the packages that were taken from it.
type Repository struct {
	URI        string    `toml:"uri"`
	Suite      string    `toml:"suite"`
	Components []string  `toml:"components"`
	Date       time.Time `toml:"date"`   // of the Release file
	SHA256     string    `toml:"sha256"` // of the Release file's signed text
	Keys       []string  `toml:"keys"`   // fingerprints of the keys that signed it
	Packages   []Package `toml:"packages"`
}

// Package is one package.
type Package struct {
	Name     string `toml:"name"`
	Version  string `toml:"version"`
	Arch     string `toml:"architecture"`
	Required bool   `toml:"required"` // whether it is unpacked before those that are not
	Size     int64  `toml:"size"`     // of the file, in bytes
	SHA256   string `toml:"sha256"`   // of the file
	File     string `toml:"file"`     // below the repository's URI
}

// Read reads a lock file. What is wrong with one is said with file, line and field.
func Read(name string) (*File, error) {
	const hint = "nsbuild create --lock FILE writes one"
	f, err := regular.Open(name)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, hint, fmt.Errorf("reading the lock: %w", err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fault.Wrap(fault.Usage, hint, fmt.Errorf("reading the lock: %w", err))
	}
	if len(data) > maxSize {
		return nil,
			fault.New(fault.Usage, hint, "%s: it has more than %d bytes: it is no lock file", name,
				maxSize)
	}
	return parse(name, data)
}

func parse(name string, data []byte) (*File, error) {
	wrong := func(line int, format string, args ...any) error {
		return fault.New(fault.Usage,
			"nsbuild create --lock FILE writes a new one; docs/bases.md explains the format",
			"%s:%d: %s", name, line, fmt.Sprintf(format, args...))
	}
	malformed := func(err error) error {
		var strict *toml.StrictMissingError
		var at *toml.DecodeError
		switch {
		case errors.As(err, &strict):
			at = &strict.Errors[0]
		case !errors.As(err, &at): // a time that is none
			p := lines(data)
			field := p.untimely()
			return wrong(p.of(field), "%s: it is no date with a time and a zone", field)
		}
		line, _ := at.Position()
		field := strings.Join(at.Key(), ".")
		if field != "" {
			field += ": "
		}
		return wrong(line, "%s%s", field, strings.TrimPrefix(at.Error(), "toml: "))
	}
	var version struct { // first, for another format has other fields
		Format *int `toml:"format"`
	}
	if err := toml.Unmarshal(data, &version); err != nil {
		return nil, malformed(err)
	}
	switch {
	case version.Format == nil:
		return nil, wrong(1, "format: it is missing: this is no lock file")
	case *version.Format != Format:
		return nil,
			wrong(lines(data).of("format"), "format: it is %d; this nsbuild reads format %d",
				*version.Format, Format)
	}
	sum := sha256.Sum256(data)
	f := &File{Name: name, Digest: hex.EncodeToString(sum[:])}
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(f); err != nil {
		return nil, malformed(err)
	}
	if field, why := f.check(); field != "" {
		return nil, wrong(lines(data).of(field), "%s: %s", field, why)
	}
	return f, nil
}

// places tells where a field stands: "suite", "repository.0.packages.3.sha256".
type places map[string]place

type place struct {
	line int
	kind unstable.Kind // of its value; Invalid for a table
}

// untimely is the first field that should be a time and is none: of these the library does not say
// where they are.
func (p places) untimely() (first string) {
	for field, at := range p {
		if last := field[strings.LastIndexByte(field, '.')+1:]; (last == "epoch" ||
			last == "date") && at.kind != unstable.DateTime &&
			(first == "" || at.line < p[first].line) {
			first = field
		}
	}
	return first
}

// of is the line of a field, or of what it is missing in.
func (p places) of(field string) int {
	for field != "" {
		if at, ok := p[field]; ok {
			return at.line
		}
		field = field[:max(0, strings.LastIndexByte(field, '.'))]
	}
	return 1
}

// lines finds the fields of a file that is known to be well-formed.
func lines(data []byte) places {
	at := places{}
	note := func(field string, key *unstable.Node, kind unstable.Kind) {
		if _, ok := at[field]; !ok && field != "" {
			at[field] = place{1 + bytes.Count(data[:key.Raw.Offset], []byte("\n")), kind}
		}
	}
	var value func(field string, v *unstable.Node)
	pair := func(table string, kv *unstable.Node) {
		field := table
		for key := kv.Key(); key.Next(); {
			note(table, key.Node(), unstable.Invalid)
			field = strings.TrimPrefix(field+"."+string(key.Node().Data), ".")
			note(field, key.Node(), kv.Value().Kind)
		}
		value(field, kv.Value())
	}
	value = func(field string, v *unstable.Node) {
		switch v.Kind {
		case unstable.Array:
			i := 0
			for it := v.Children(); it.Next(); i++ {
				value(fmt.Sprintf("%s.%d", field, i), it.Node())
			}
		case unstable.InlineTable:
			for it := v.Children(); it.Next(); {
				pair(field, it.Node())
			}
		}
	}
	var p unstable.Parser
	p.Reset(data)
	table, count := "", map[string]int{}
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.KeyValue:
			pair(table, e)
		case unstable.Table, unstable.ArrayTable:
			var names []string
			var last *unstable.Node
			for key := e.Key(); key.Next(); {
				last = key.Node()
				names = append(names, string(last.Data))
			}
			table = strings.Join(names, ".")
			if e.Kind == unstable.ArrayTable {
				name := table
				table = fmt.Sprintf("%s.%d", name, count[name])
				count[name]++
			}
			note(table, last, unstable.Invalid)
		}
	}
	return at
}
