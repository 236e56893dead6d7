package provenance

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// statementType is that of an in-toto Statement v1.
const statementType = "https://in-toto.io/Statement/v1"

// Statement is an in-toto statement. The types here are what its specification and that of SLSA
// provenance say; the tests hold what is written with them to in-toto's own.
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Descriptor    `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Descriptor is a file, or what else can be named.
type Descriptor struct {
	Name             string            `json:"name,omitempty"`
	URI              string            `json:"uri,omitempty"`
	Digest           map[string]string `json:"digest,omitempty"`
	DownloadLocation string            `json:"downloadLocation,omitempty"`
	MediaType        string            `json:"mediaType,omitempty"`
	Annotations      map[string]string `json:"annotations,omitempty"`
}

// slsa is a predicate of SLSA provenance v1, with the fields that a build here has.
type slsa struct {
	BuildDefinition definition `json:"buildDefinition"`
	RunDetails      details    `json:"runDetails"`
}

type definition struct {
	BuildType            string       `json:"buildType"`
	ExternalParameters   external     `json:"externalParameters"`
	InternalParameters   internal     `json:"internalParameters"`
	ResolvedDependencies []Descriptor `json:"resolvedDependencies"`
}

type details struct {
	Builder    builder      `json:"builder"`
	Metadata   metadata     `json:"metadata"`
	Byproducts []Descriptor `json:"byproducts,omitempty"`
}

// builder is who has built something, or who has verified it.
type builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version"`
}

type metadata struct {
	InvocationID string `json:"invocationId"`
	StartedOn    string `json:"startedOn"`
	FinishedOn   string `json:"finishedOn"`
}

// equality is the predicate of EqualsType.
type equality struct {
	Verdict  string     `json:"verdict"`
	Source   sourceName `json:"source"`
	Original Descriptor `json:"original"`
	Rebuild  Descriptor `json:"rebuild"`
	Verifier builder    `json:"verifier"`
	On       string     `json:"verifiedOn"`
}

type sourceName struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// moment is a time as statements have it.
func moment(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// state makes a statement of subjects, and checks it as whoever reads it will.
func state(subjects []Descriptor, kind string, predicate any) (*Statement, error) {
	text, err := marshal(predicate)
	if err != nil {
		return nil, err
	}
	s := &Statement{Type: statementType, Subject: subjects, PredicateType: kind, Predicate: text}
	if text, err = marshal(s); err == nil {
		_, err = decode(text)
	}
	return s, err
}

// marshal is the text of a value in one line, with <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(text.Bytes()), err
}

// sizes are those of digests, in bytes. Others may name digests of their own.
func sizes(name string) int {
	switch name {
	case "sha1", "gitBlob", "gitCommit", "gitTag", "gitTree":
		return 20
	case "md5":
		return 16
	case "sha224", "sha512_224", "sha3_224":
		return 28
	case "sha256", "sha512_256", "sha3_256", "dirHash":
		return 32
	case "sha384", "sha3_384":
		return 48
	case "sha512", "sha3_512":
		return 64
	}
	return 0
}

// check is what every descriptor must have.
func (d Descriptor) check() error {
	if d.Name == "" && d.URI == "" && len(d.Digest) == 0 {
		return errors.New("it names something without a name, a URI and a digest")
	}
	for _, kind := range slices.Sorted(maps.Keys(d.Digest)) {
		size := sizes(kind)
		if size == 0 {
			continue
		}
		if sum, err := hex.DecodeString(d.Digest[kind]); err != nil || len(sum) != size {
			return fmt.Errorf("the %s of %q has an incorrect length, or is no hexadecimal number",
				kind, d.Name+d.URI)
		}
	}
	return nil
}
