package result_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/batch"
	"nsbuild/internal/compared"
	"nsbuild/internal/plan"
	"nsbuild/internal/rdeps"
	"nsbuild/internal/result"
)

// TestSchemas holds the published schemas to the types: what is written has just these fields, and
// those without omitempty always.
func TestSchemas(t *testing.T) {
	for _, c := range []struct {
		file, title string
		schema      int
		kind        reflect.Type
	}{
		{"../../docs/result.schema.json", "Result of an nsbuild build", result.Schema,
			reflect.TypeFor[result.Result]()},
		{"../../docs/results.schema.json", "Results of several nsbuild builds",
			result.SeveralSchema, reflect.TypeFor[result.Several]()},
		{"../../docs/plan.schema.json", "Plan of an nsbuild build", plan.Schema,
			reflect.TypeFor[plan.Plan]()},
		{"../../docs/events.schema.json", "A line of nsbuild --json", result.EventSchema,
			reflect.TypeFor[result.Event]()},
		{"../../docs/compare.schema.json", "Comparison of packages by nsbuild", compared.Schema,
			reflect.TypeFor[compared.Comparison]()},
		{"../../docs/batch.schema.json", "State of a batch of nsbuild", batch.DocumentSchema,
			reflect.TypeFor[batch.Document]()},
		{"../../docs/rdeps.schema.json", "What nsbuild rdeps --dry-run has found", rdeps.ListSchema,
			reflect.TypeFor[rdeps.List]()},
	} {
		defs := map[string]any{}
		top, ok := schemaOf(c.kind, defs).(map[string]any)
		if !ok {
			t.Fatal("a schema is no object")
		}
		name := strings.TrimPrefix(top["$ref"].(string), "#/$defs/")
		root, ok := defs[name].(map[string]any)
		if !ok {
			t.Fatal("a schema is no object")
		}
		delete(defs, name)
		root["$schema"], root["title"], root["$defs"] = "https://json-schema.org/draft/2020-12/schema", c.title, defs
		properties, ok := root["properties"].(map[string]any)
		if !ok {
			t.Fatal("a schema has no properties")
		}
		properties["schema"] = map[string]any{"const": c.schema}
		if c.kind == reflect.TypeFor[result.Event]() {
			properties["event"] = map[string]any{
				"enum": []string{result.EventPhaseBegun, result.EventProgress,
					result.EventPhaseEnded, result.EventMessage,
					result.EventArtefact, result.EventKept, result.EventResult}}
		}
		want, err := json.MarshalIndent(root, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, '\n')
		if *result.Update {
			if err := os.WriteFile(c.file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is not what the types say; go test ./internal/result -update, and a new "+
				"number of the schema if a field has changed its meaning", c.file)
		}
	}
}

// schemaOf is the schema of a type; structs go to defs.
func schemaOf(k reflect.Type, defs map[string]any) any {
	switch {
	case k == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case k.Kind() == reflect.Pointer:
		return schemaOf(k.Elem(), defs)
	case k.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(k.Elem(), defs)}
	case k.Kind() == reflect.String:
		return map[string]any{"type": "string"}
	case k.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case k.Kind() == reflect.Float64:
		return map[string]any{"type": "number"}
	case k.Kind() == reflect.Int, k.Kind() == reflect.Int64:
		return map[string]any{"type": "integer"}
	case k.Kind() != reflect.Struct:
		panic("no schema for " + k.String())
	}
	if _, known := defs[k.Name()]; !known {
		properties, required := map[string]any{}, []string{}
		defs[k.Name()] = map[string]any{} // for types that hold themselves
		fields(k, properties, &required, defs)
		defs[k.Name()] = map[string]any{"type": "object", "properties": properties,
			"required": required, "additionalProperties": false}
	}
	return map[string]any{"$ref": "#/$defs/" + k.Name()}
}

func fields(k reflect.Type, properties map[string]any, required *[]string, defs map[string]any) {
	for i := range k.NumField() {
		f := k.Field(i)
		if f.Anonymous {
			fields(f.Type, properties, required, defs)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		properties[name] = schemaOf(f.Type, defs)
		if options == "" {
			*required = append(*required, name)
		}
	}
}
