package provenance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// inTotos is what in-toto's own types say of a statement.
func inTotos(text []byte, how protojson.UnmarshalOptions) error {
	var s intoto.Statement
	if err := how.Unmarshal(text, &s); err != nil {
		return err
	}
	if err := s.Validate(); err != nil || s.GetPredicateType() != slsaType {
		return err
	}
	predicate, err := protojson.Marshal(s.GetPredicate())
	if err != nil {
		return err
	}
	var p provenance.Provenance
	if err := how.Unmarshal(predicate, &p); err != nil {
		return err
	}
	return p.Validate()
}

// accepted is of a statement that has no field which in-toto's types do not know.
func accepted(t *testing.T, text []byte) {
	t.Helper()
	check(t, inTotos(text, protojson.UnmarshalOptions{}))
}

// TestAcceptedByInToto holds every kind of statement to in-toto's own types.
func TestAcceptedByInToto(t *testing.T) {
	dir := t.TempDir()
	r := built(t, dir)
	r.Log = write(t, filepath.Join(dir, "hello.log"), []byte("log\n"))
	r.Target.Profiles = []string{"nocheck", `a<b>&"c\` + "\x1b\xff"}
	s, err := maker().Of(r)
	check(t, err)
	info := write(t, filepath.Join(dir, "hello.buildinfo"), []byte("x"))
	all, err := maker().OfRebuild(Rebuild{Buildinfo: info, Verdict: "identical", Result: r,
		Same: []string{"hello_2.10-3_amd64.deb"}}, true)
	check(t, err)
	for _, s := range append(all, s) {
		text, err := marshal(s)
		check(t, err)
		accepted(t, text)
	}
}

// TestStoredStatements reads what nsbuild wrote with in-toto's own types, before it had these.
func TestStoredStatements(t *testing.T) {
	key, err := ReadPublic("testdata/key.pub")
	check(t, err)
	signed, err := Read(t.Context(), "testdata/build.jsonl", key)
	check(t, err)
	plain, err := Read(t.Context(), "testdata/rebuild.jsonl", nil)
	check(t, err)
	want := []*Verified{{Kind: BuildType, Signed: true}, {Kind: RebuildType}, {Kind: EqualsType}}
	for _, v := range want {
		v.Source, v.Builder = "hello 1:2.10-3", "https://ci.example/1"
	}
	got := append(signed, plain...)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Verified{}, "Statement")); diff != "" {
		t.Error(diff)
	}
	for _, v := range got {
		text, err := marshal(v.Statement)
		check(t, err)
		accepted(t, text)
	}
	text, err := os.ReadFile("testdata/rebuild.jsonl")
	check(t, err)
	first, _, _ := strings.Cut(string(text), "\n")
	again, err := marshal(plain[0].Statement)
	check(t, err)
	if diff := cmp.Diff(first, string(again)); diff != "" {
		t.Error("a statement is written again otherwise:", diff)
	}
}

// TestOneReading: what in-toto's types refuse is refused here: what two programs would read
// differently, and what lacks something.
func TestOneReading(t *testing.T) {
	text, err := os.ReadFile("testdata/rebuild.jsonl")
	check(t, err)
	first, _, _ := strings.Cut(string(text), "\n")
	if _, err := decode([]byte(first)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ from, to, says string }{
		"subject twice":   {`"subject":`, `"subject":[],"subject":`, `"subject" twice`},
		"name twice":      {`{"name":"hello`, `{"name":"x","name":"hello`, `"name" twice`},
		"Subject":         {`"subject":`, `"Subject":`, "about nothing"},
		"no subject":      {`"subject":`, `"x":`, "about nothing"},
		"no object":       {`"predicate":{`, `"predicate":[],"x":{`, "cannot unmarshal"},
		"no predicate":    {`"predicate":`, `"x":`, "no provenance"},
		"no definition":   {`"buildDefinition":`, `"x":`, "lacks buildDefinition"},
		"no run":          {`"runDetails":`, `"x":`, "lacks buildDefinition or runDetails"},
		"no buildType":    {`"buildType":"urn`, `"x":"urn`, "lacks buildType"},
		"no parameters":   {`"externalParameters":`, `"x":`, "externalParameters"},
		"no builder":      {`"builder":`, `"x":`, "lacks runDetails.builder"},
		"no id":           {`"id":`, `"x":`, "lacks runDetails.builder.id"},
		"time":            {`"startedOn":"2023-11-14`, `"startedOn":"yesterday`, "startedOn"},
		"number for text": {`"uri":"http`, `"uri":7,"x":"http`, "uri"},
		"dependency":      {`"resolvedDependencies":[`, `"resolvedDependencies":[{},`, "without a name"},
		"digest":          {`"sha512":"2b0b`, `"sha512":"xxxx`, "sha512"},
		"not UTF-8":       {`hello.log`, "hello\xff.log", "UTF-8"},
	} {
		changed := strings.Replace(first, c.from, c.to, 1)
		if changed == first {
			t.Fatalf("%s: there is no %s", name, c.from)
		}
		if _, err := decode([]byte(changed)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if inTotos([]byte(changed), protojson.UnmarshalOptions{DiscardUnknown: true}) == nil {
			t.Errorf("%s: in-toto's types take it", name)
		}
	}
	if _, err := decode([]byte(strings.Replace(first, `"_type"`, `"new":{"a":[1,null]},"_type"`,
		1))); err != nil {
		t.Errorf("a field that others have added: %v", err)
	}
}
