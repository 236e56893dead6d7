package provenance

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// Bounds of what is read: a statement about a build with a thousand packages has some 500 KiB.
const (
	maxFile       = 64 << 20 // bytes
	maxStatements = 1000
)

// Verified is a statement that holds.
type Verified struct {
	*Statement
	Kind    string // BuildType, RebuildType or EqualsType
	Builder string
	Source  string // name and version
	Signed  bool
}

// Read reads the statements of a file and checks them: that the key has signed them, and that they
// are of a kind that is known here. Without a key they must not be signed, which is to be asked
// for. One that does not hold is an error.
func Read(ctx context.Context, file string, key *Key) ([]*Verified, error) {
	text, err := regular.ReadFile(file, maxFile)
	if err != nil {
		return nil, fmt.Errorf("reading the provenance: %w", err)
	}
	all, err := read(ctx, text, key)
	if err != nil {
		return nil, fault.Wrap(fault.GivenBack, "", fmt.Errorf("%s: %w", file, err))
	}
	return all, nil
}

func read(ctx context.Context, text []byte, key *Key) ([]*Verified, error) {
	var all []*Verified
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var part json.RawMessage
		err := d.Decode(&part)
		switch {
		case errors.Is(err, io.EOF) && len(all) == 0:
			return nil, errors.New("it has no statement")
		case errors.Is(err, io.EOF):
			return all, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errors.New("it ends in its middle: it was cut")
		case err != nil:
			return nil, fmt.Errorf("it is no provenance: %w", err)
		case len(all) == maxStatements:
			return nil, fmt.Errorf("it has more than %d statements", maxStatements)
		}
		one, err := readOne(ctx, part, key)
		if err != nil {
			return nil, fmt.Errorf("statement %d: %w", len(all)+1, err)
		}
		all = append(all, one)
	}
}

func readOne(ctx context.Context, text []byte, key *Key) (*Verified, error) {
	var head struct {
		Type        string          `json:"_type"`
		PayloadType json.RawMessage `json:"payloadType"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, errors.New("it is neither a statement nor an envelope")
	}
	signed := head.PayloadType != nil
	switch {
	case signed && key == nil:
		return nil, fault.New(fault.GivenBack, "say by whom with --key PUBLIC-KEY",
			"it is signed, and without a key nobody knows by whom")
	case !signed && key != nil:
		return nil, fault.New(fault.GivenBack, "--unsigned, in place of --key, believes it",
			"it is not signed")
	}
	if signed {
		var err error
		if text, err = open(ctx, text, key); err != nil {
			return nil, err
		}
	}
	v, err := decode(text)
	if err == nil {
		v.Signed = signed
	}
	return v, err
}

// open checks an envelope's signature, and is what it holds.
func open(ctx context.Context, text []byte, key *Key) ([]byte, error) {
	var e dsse.Envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("it is no envelope: %w", err)
	}
	if e.PayloadType != payloadType {
		return nil, fmt.Errorf("its payload is of type %q, and no in-toto statement", e.PayloadType)
	}
	var named []string
	for i := range e.Signatures { // the ID of a key is a hint that nobody has signed
		named = append(named, e.Signatures[i].KeyID)
		e.Signatures[i].KeyID = ""
	}
	verifier, err := dsse.NewEnvelopeVerifier(key)
	if err != nil {
		return nil, err
	}
	_, body, err := verifier.VerifyAndDecode(ctx, &e)
	var damaged base64.CorruptInputError
	switch {
	case errors.Is(err, dsse.ErrNoSignature):
		return nil, errors.New("its envelope has no signature")
	case errors.As(err, &damaged):
		return nil, fmt.Errorf("its envelope is damaged: %w", err)
	case err != nil && !slices.Contains(named, key.ID):
		return nil, fmt.Errorf("the key %.12s has not signed it; its signature names %s", key.ID,
			shortIDs(named))
	case err != nil:
		return nil, errors.New("it was changed after it was signed: its signature does not hold")
	}
	return body, nil
}

func shortIDs(ids []string) string {
	var all []string
	for _, id := range ids {
		if id = fmt.Sprintf("%.12s", id); id == "" {
			id = "no key"
		}
		all = append(all, id)
	}
	return strings.Join(all, ", ")
}

// decode reads a statement of a kind that is known here.
func decode(text []byte) (*Verified, error) {
	s, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("it is no statement: %w", err)
	}
	switch {
	case s.Type != statementType:
		return nil, fmt.Errorf("its type is %q, and not %s", s.Type, statementType)
	case len(s.Subject) == 0:
		return nil, errors.New("it is no statement: it is about nothing")
	}
	for _, subject := range s.Subject {
		if name := subject.Name; name == "" || name != filepath.Base(name) || name == ".." ||
			name == "." {
			return nil, fmt.Errorf("%q is no name of an artefact", name)
		}
		if subject.Digest["sha256"] == "" {
			return nil, fmt.Errorf("%s has no SHA-256", subject.Name)
		}
	}
	v := &Verified{Statement: s, Kind: s.PredicateType}
	switch s.PredicateType {
	case slsaType:
		return v, v.asBuild()
	case EqualsType:
		return v, v.asEqual()
	}
	return nil, fmt.Errorf("its predicate is of a type that is not known here: %q", s.PredicateType)
}

// asBuild reads the predicate of a build.
func (v *Verified) asBuild() error {
	r, err := parseSLSA(v.Predicate)
	if err != nil {
		return fmt.Errorf("it is no provenance: %w", err)
	}
	if r.buildType != BuildType && r.buildType != RebuildType {
		return fmt.Errorf("its buildType is %q: nsbuild has not built this", r.buildType)
	}
	v.Kind, v.Source, v.Builder = r.buildType, r.source.String(), r.builder
	return nil
}

// asEqual reads the predicate of a rebuild that has made the same.
func (v *Verified) asEqual() error {
	var verdict string
	var source, verifier json.RawMessage
	err := pick(v.Predicate, map[string]any{"verdict": &verdict, "source": &source,
		"verifier": &verifier})
	if err != nil {
		return fmt.Errorf("it states no verdict: %w", err)
	}
	if verdict != "identical" {
		return fmt.Errorf("it states the verdict %q", verdict)
	}
	if source != nil {
		name, err := parseSource(source)
		if err != nil {
			return fmt.Errorf("it names no source: %w", err)
		}
		v.Source = name.String()
	}
	if verifier == nil {
		return nil
	}
	if err := pick(verifier, map[string]any{"id": &v.Builder}); err != nil {
		return fmt.Errorf("it names no verifier: %w", err)
	}
	return nil
}

func (s sourceName) String() string { return strings.TrimSpace(s.Name + " " + s.Version) }

// States of an artefact.
const (
	Same    = "same"
	Changed = "changed" // it is not what the statement says
	Missing = "missing" // it is not there
	Unnamed = "unnamed" // no statement names it
)

// Artefact is a file, and whether it is what statements say.
type Artefact struct {
	Name  string
	State string
}

// Compare compares artefacts with what statements say: the files that are given, else all that are
// named, in a directory.
func Compare(all []*Verified, files []string, dir string) ([]Artefact, error) {
	stated := map[string][]map[string]string{}
	for _, v := range all {
		for _, s := range v.Subject {
			stated[s.Name] = append(stated[s.Name], s.Digest)
		}
	}
	if len(files) == 0 {
		for name := range stated {
			files = append(files, filepath.Join(dir, name))
		}
		slices.Sort(files)
	}
	var out []Artefact
	for _, file := range files {
		a := Artefact{Name: file, State: Unnamed}
		if expected := stated[filepath.Base(file)]; len(expected) > 0 {
			sums, err := digests(file)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				a.State = Missing
			case err != nil:
				return out, err
			case slices.ContainsFunc(expected, func(d map[string]string) bool {
				return !agree(d, sums)
			}):
				a.State = Changed
			default:
				a.State = Same
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// agree tells whether a file has the digests that are stated.
func agree(stated, sums map[string]string) bool {
	long, ok := stated["sha512"]
	return stated["sha256"] == sums["sha256"] && (!ok || long == sums["sha512"])
}
