package rawjson

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

type inner struct {
	Name  string `json:"name"`
	Where []string
}

type Shared struct{ Text string }

type outer struct {
	Shared
	Args    []string          `json:",omitempty"`
	Env     map[string]string `json:"env"`
	Inner   *inner            `json:"inner"`
	Any     any
	Pair    [2]string
	At      time.Time
	Data    []byte
	Skipped string `json:"-"`
	hidden  string
}

const latin1 = "J\xf6rg\\x41\\"

func example() outer {
	return outer{
		Shared: Shared{latin1}, Args: []string{"plain", latin1, "\xff", "ö", "\\"},
		Env:   map[string]string{latin1: latin1, "a": "b"},
		Inner: &inner{latin1, []string{"\x80"}}, Any: "\xfe", Pair: [2]string{"a", "\xfd"},
		At: time.Unix(1, 0).UTC(), Data: []byte("\xff\\"),
	}
}

func TestRoundTrip(t *testing.T) {
	v := example()
	v.hidden = latin1
	text, err := Marshal(&v)
	if err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(text) || bytes.ContainsRune(text, utf8.RuneError) {
		t.Errorf("%s", text)
	}
	var got outer
	if err := Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), got, cmp.AllowUnexported(outer{})); diff != "" {
		t.Errorf("it came back as another (-sent +received):\n%s", diff)
	}
	if v.Args[1] != latin1 || v.Inner.Name != latin1 || v.Env[latin1] != latin1 {
		t.Errorf("the value itself was changed: %#v", v)
	}
}

func TestStream(t *testing.T) {
	var wire bytes.Buffer
	to := NewEncoder(&wire)
	for _, s := range []string{"\xff", "a", `\\x`} {
		if err := to.Encode(inner{Name: s}); err != nil {
			t.Fatal(err)
		}
	}
	from := NewDecoder(&wire)
	for _, want := range []string{"\xff", "a", `\\x`} {
		var got inner
		if err := from.Decode(&got); err != nil || got.Name != want {
			t.Errorf("%q, %v; want %q", got.Name, err, want)
		}
	}
}

func TestBadEscapes(t *testing.T) {
	for _, text := range []string{`"\\"`, `"\\x"`, `"\\xf"`, `"\\xFF"`, `"\\n"`, `"a\\\\\\"`} {
		var s string
		if err := Unmarshal([]byte(text), &s); err == nil {
			t.Errorf("%s: %q", text, s)
		}
	}
}

func TestLegible(t *testing.T) {
	v := example()
	legible, pointers := Legible(v)
	slices.Sort(pointers)
	want := []string{
		"/Any", "/Args/1", "/Args/2", "/Pair/1", "/Text",
		`/env/J\xf6rg\\x41\\`, `/env/J\xf6rg\\x41\\`, "/inner/Where/0", "/inner/name",
	}
	if !slices.Equal(pointers, want) {
		t.Errorf("%q", pointers)
	}
	if legible.Args[1] != `J\xf6rg\\x41\\` || legible.Args[4] != `\` || v.Args[1] != latin1 {
		t.Errorf("%q, before %q", legible.Args, v.Args)
	}
	delete(v.Env, latin1) // of a map's names only the values are found again
	legible, pointers = Legible(v)
	err := Exact(&legible, pointers)
	if diff := cmp.Diff(v, legible, cmp.AllowUnexported(outer{})); err != nil || diff != "" {
		t.Errorf("%v (-sent +received):\n%s", err, diff)
	}
	legible, _ = Legible(v)
	if text, err := json.Marshal(legible); err != nil || bytes.Contains(text, []byte("\ufffd")) {
		t.Errorf("%s, %v", text, err)
	}
}

func FuzzEscape(f *testing.F) {
	f.Add(latin1)
	f.Add("\xc3(\xe2\x82")
	f.Fuzz(func(t *testing.T, s string) {
		escaped := Escape(s)
		if got, err := Unescape(escaped); err != nil || got != s || !utf8.ValidString(escaped) {
			t.Errorf("%q: %q, %q, %v", s, escaped, got, err)
		}
	})
}
