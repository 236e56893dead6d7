// Package provenance says in a form that others can check what came of a build, what it was made
// from, and by whom: in-toto Statements v1, with a SLSA provenance v1 predicate of a build type of
// our own. A key makes DSSE envelopes of them.
//
// What was built is told by internal/result. docs/provenance.md says what stands where.
package provenance

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
	"nsbuild/internal/result"
)

// Types of what is stated. They are names, and no addresses.
const (
	BuildType   = "urn:nsbuild:build:v1"   // a build, as it was asked for
	RebuildType = "urn:nsbuild:rebuild:v1" // a build that a .buildinfo describes, done again
	EqualsType  = "urn:nsbuild:equals:v1"  // of a predicate: a rebuild has made the same
	slsaType    = "https://slsa.dev/provenance/v1"
	payloadType = "application/vnd.in-toto+json"
)

// Local is the builder of whoever does not say which it is: nobody vouches for it.
const Local = "urn:nsbuild:builder:local"

// Statement is an in-toto statement.
type Statement = intoto.Statement

// Maker is who states something.
type Maker struct {
	Builder string // its URI
	Program string // "nsbuild 0.1.0"
}

// CheckBuilder refuses what is no URI of a builder.
func CheckBuilder(id string) error {
	if u, err := url.Parse(id); err != nil || !u.IsAbs() || strings.ContainsAny(id, " \t\n") {
		return fault.New(fault.Usage, "give a URI such as https://ci.example/builders/1",
			"--builder-id %q is no URI", id)
	}
	return nil
}

// Of states how a build was made that has succeeded. Its artefacts are read.
func (m Maker) Of(r *result.Result) (*Statement, error) {
	return m.of(r, BuildType, nil)
}

// Rebuild is a build that was done again.
type Rebuild struct {
	Buildinfo string // the file that describes it
	Verdict   string
	Result    *result.Result
	Same      []string // names of the artefacts that are what the .buildinfo lists
}

// OfRebuild states how it was rebuilt and, where the same came out of it, that it did.
func (m Maker) OfRebuild(b Rebuild, identical bool) ([]*Statement, error) {
	info, err := digests(b.Buildinfo)
	if err != nil {
		return nil, err
	}
	described := &intoto.ResourceDescriptor{Name: filepath.Base(b.Buildinfo), Digest: info}
	how, err := m.of(b.Result, RebuildType, described)
	if err != nil || !identical {
		return []*Statement{how}, err
	}
	equals, err := m.equals(b, how, described)
	return []*Statement{how, equals}, err
}

// equals states that a rebuild has made the same as the first build.
func (m Maker) equals(b Rebuild, how *Statement, described *intoto.ResourceDescriptor) (*Statement,
	error) {
	text, err := encode(how)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	predicate, err := structpb.NewStruct(map[string]any{
		"verdict": b.Verdict,
		"source":  map[string]any{"name": b.Result.Source.Name, "version": b.Result.Source.Version},
		"original": map[string]any{"name": described.GetName(),
			"digest": anyMap(described.GetDigest())},
		"rebuild": map[string]any{"digest": map[string]any{
			"sha256": hex.EncodeToString(sum[:])}},
		"verifier": map[string]any{"id": m.Builder,
			"version": map[string]any{"nsbuild": m.version()}},
		"verifiedOn": timestamppb.New(b.Result.Finished).AsTime().Format("2006-01-02T15:04:05Z07:00"),
	})
	if err != nil {
		return nil, err
	}
	s := &Statement{Type: intoto.StatementTypeUri, PredicateType: EqualsType, Predicate: predicate}
	for _, subject := range how.GetSubject() {
		for _, name := range b.Same {
			if subject.GetName() == name {
				s.Subject = append(s.Subject, subject)
			}
		}
	}
	return s, s.Validate()
}

func (m Maker) of(r *result.Result, kind string, described *intoto.ResourceDescriptor) (*Statement,
	error) {
	s := &Statement{Type: intoto.StatementTypeUri, PredicateType: slsaType}
	for _, a := range r.Artefacts {
		if described != nil && (a.Kind == "changes" || a.Kind == "buildinfo") {
			continue // they say when and where: no two builds have the same
		}
		sums, err := digests(a.Path)
		if err != nil {
			return nil, err
		}
		if a.SHA256 != "" && sums["sha256"] != a.SHA256 {
			return nil, fmt.Errorf("%s is not what was built any more", a.Path)
		}
		s.Subject = append(s.Subject, &intoto.ResourceDescriptor{Name: a.Name, Digest: sums})
	}
	external, internal, err := parameters(r, described)
	if err != nil {
		return nil, err
	}
	used, err := dependencies(r, described)
	if err != nil {
		return nil, err
	}
	p := &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{BuildType: kind, ExternalParameters: external,
			InternalParameters: internal, ResolvedDependencies: used},
		RunDetails: &slsa.RunDetails{
			Builder: &slsa.Builder{Id: m.Builder,
				Version: map[string]string{"nsbuild": m.version()}},
			Metadata: &slsa.BuildMetadata{InvocationId: "urn:uuid:" + uuid(),
				StartedOn: timestamppb.New(r.Started), FinishedOn: timestamppb.New(r.Finished)},
		},
	}
	if r.Log != "" {
		if sums, err := digests(r.Log); err == nil { // it may have been deleted by then
			p.RunDetails.Byproducts = append(p.RunDetails.Byproducts,
				&intoto.ResourceDescriptor{Name: filepath.Base(r.Log), Digest: sums,
					MediaType: "text/plain"})
		}
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if s.Predicate, err = structOf(p); err != nil {
		return nil, err
	}
	return s, s.Validate()
}

func (m Maker) version() string {
	return strings.TrimPrefix(m.Program, "nsbuild ")
}

// uuid is a random one (RFC 9562, version 4).
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // which does not fail
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// digests are those of a file.
func digests(file string) (map[string]string, error) {
	f, err := regular.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	short, long := sha256.New(), sha512.New()
	if _, err := io.Copy(io.MultiWriter(short, long), f); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return map[string]string{"sha256": hex.EncodeToString(short.Sum(nil)),
		"sha512": hex.EncodeToString(long.Sum(nil))}, nil
}

// structOf is a message as JSON has it.
func structOf(m proto.Message) (*structpb.Struct, error) {
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	var out structpb.Struct
	return &out, protojson.Unmarshal(text, &out)
}

// asStruct is any value of JSON's as a message.
func asStruct(v any) (*structpb.Struct, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out structpb.Struct
	return &out, protojson.Unmarshal(text, &out)
}

func anyMap(m map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}
