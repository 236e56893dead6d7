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
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

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
	described := &Descriptor{Name: filepath.Base(b.Buildinfo), Digest: info}
	how, err := m.of(b.Result, RebuildType, described)
	if err != nil || !identical {
		return []*Statement{how}, err
	}
	equals, err := m.equals(b, how, *described)
	return []*Statement{how, equals}, err
}

// equals states that a rebuild has made the same as the first build.
func (m Maker) equals(b Rebuild, how *Statement, described Descriptor) (*Statement, error) {
	text, err := marshal(how)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	predicate := equality{Verdict: b.Verdict,
		Source:   sourceName{b.Result.Source.Name, b.Result.Source.Version},
		Original: described,
		Rebuild:  Descriptor{Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])}},
		Verifier: m.builder(), On: moment(b.Result.Finished)}
	var same []Descriptor
	for _, subject := range how.Subject {
		if slices.Contains(b.Same, subject.Name) {
			same = append(same, subject)
		}
	}
	return state(same, EqualsType, predicate)
}

// of states how a build was made; described is the .buildinfo of one that was done again.
func (m Maker) of(r *result.Result, kind string, described *Descriptor) (*Statement, error) {
	var subjects []Descriptor
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
		subjects = append(subjects, Descriptor{Name: a.Name, Digest: sums})
	}
	used, err := dependencies(r, described)
	if err != nil {
		return nil, err
	}
	p := slsa{
		BuildDefinition: definition{BuildType: kind, ResolvedDependencies: used},
		RunDetails: details{Builder: m.builder(),
			Metadata: metadata{InvocationID: "urn:uuid:" + uuid(),
				StartedOn: moment(r.Started), FinishedOn: moment(r.Finished)}},
	}
	p.BuildDefinition.ExternalParameters, p.BuildDefinition.InternalParameters =
		parameters(r, described)
	if r.Log != "" {
		if sums, err := digests(r.Log); err == nil { // it may have been deleted by then
			p.RunDetails.Byproducts = append(p.RunDetails.Byproducts,
				Descriptor{Name: filepath.Base(r.Log), Digest: sums, MediaType: "text/plain"})
		}
	}
	return state(subjects, slsaType, p)
}

func (m Maker) builder() builder {
	return builder{m.Builder, map[string]string{"nsbuild": m.version()}}
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
