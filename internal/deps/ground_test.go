package deps

import (
	"fmt"
	"reflect"
	"testing"

	"nsbuild/internal/base"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
)

// TestGroundKey has each part of a ground in its key, one that is added later, too.
func TestGroundKey(t *testing.T) {
	seen := map[string]string{ground{}.key(): "none"}
	kind := reflect.TypeFor[ground]()
	for i := range kind.NumField() {
		field := kind.Field(i).Name
		g := ground{}
		switch field {
		case "base":
			g.base = "x"
		case "hooks":
			g.hooks = "x"
		case "host":
			g.host = "x"
		case "resolver":
			g.resolver = "x"
		case "conflicts":
			g.conflicts = "x"
		case "program":
			g.program = "x"
		default:
			t.Errorf("this test does not know %s", field)
		}
		if other, ok := seen[g.key()]; ok {
			t.Errorf("the key does not tell %s from %s", field, other)
		}
		seen[g.key()] = field
	}
}

// TestBaseKey tells bases apart by what a layer's files depend on, and by nothing else.
func TestBaseKey(t *testing.T) {
	packages := []base.Package{{Name: "a", Version: "1", Arch: "all"},
		{Name: "b", Version: "1", Arch: "all"}}
	m := base.Manifest{Suite: "bookworm", Arch: "amd64", Packages: packages}
	key := baseKey(m)
	same := m
	same.Packages = []base.Package{packages[1], packages[0]}
	if baseKey(same) != key {
		t.Error("the order of packages makes another base")
	}
	for name, change := range map[string]func(*base.Manifest){
		"version": func(m *base.Manifest) {
			m.Packages = []base.Package{{Name: "a", Version: "2", Arch: "all"}, packages[1]}
		},
		"hooks": func(m *base.Manifest) { m.Digest = "x" },
		"suite": func(m *base.Manifest) { m.Suite = "trixie" },
	} {
		other := m
		if change(&other); baseKey(other) == key {
			t.Errorf("another %s makes no other base", name)
		}
	}
}

// TestFitsBelow is the choice of smaller layers by their manifests.
func TestFitsBelow(t *testing.T) {
	var files []string
	for i := range worthwhile {
		files = append(files, fmt.Sprintf("p%02d", i))
	}
	wanted := append([]string{"other"}, files...)
	m := layer.Manifest{Over: "ground", Plain: true, Files: files}
	for _, c := range []struct {
		name   string
		change func(*layer.Manifest)
		fits   bool
	}{
		{"as it is", func(*layer.Manifest) {}, true},
		{"another ground", func(m *layer.Manifest) { m.Over = "hooks were there" }, false},
		{"upon another", func(m *layer.Manifest) { m.Below = "x" }, false},
		{"accounts", func(m *layer.Manifest) { m.Plain = false }, false},
		{"too few", func(m *layer.Manifest) { m.Files = files[1:] }, false},
		{"not wanted", func(m *layer.Manifest) { m.Files = append([]string{"unwanted"}, files...) },
			false},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := m
			c.change(&changed)
			if got := fitsBelow(changed, "ground", wanted); got != c.fits {
				t.Errorf("it fits: %t", got)
			}
		})
	}
}

// TestParsedKey keeps what apt has parsed over a root that hooks have changed from builds over
// others.
func TestParsedKey(t *testing.T) {
	key := func(hooked string) string {
		in := &installation{
			Request: &Request{Base: &base.Generation{Name: "bookworm"}, NoLayers: true},
			on:      On{Hooked: Hooked{Key: hooked}},
			done:    &Installed{Lowers: []sandbox.Lower{{Jail: 1}, {Path: "/base"}}}}
		key, err := in.parsedKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	plain, hooked, again := key(""), key("x"), key("x")
	if plain == hooked || hooked == key("y") || hooked != again {
		t.Error("the key does not tell hooks apart")
	}
}
