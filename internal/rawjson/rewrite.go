package rawjson

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// change says what a string becomes. pointer is its JSON Pointer.
type change func(pointer, s string) string

// rewritten is v with its strings changed. v itself is left as it is.
func rewritten(v any, to change) any {
	if v == nil {
		return nil
	}
	out, _ := rewrite(reflect.ValueOf(v), "", to)
	return out.Interface()
}

// rewrite copies only what changes: mostly nothing does.
func rewrite(v reflect.Value, at string, to change) (_ reflect.Value, changed bool) {
	switch v.Kind() {
	case reflect.String:
		if s := to(at, v.String()); s != v.String() {
			return reflect.ValueOf(s).Convert(v.Type()), true
		}
	case reflect.Pointer, reflect.Interface:
		return rewriteReferred(v, at, to)
	case reflect.Struct:
		return rewriteFields(v, at, to)
	case reflect.Slice, reflect.Array:
		return rewriteElements(v, at, to)
	case reflect.Map:
		return rewriteEntries(v, at, to)
	}
	return v, false
}

func rewriteReferred(v reflect.Value, at string, to change) (reflect.Value, bool) {
	if v.IsNil() {
		return v, false
	}
	inner, changed := rewrite(v.Elem(), at, to)
	if !changed {
		return v, false
	}
	if v.Kind() == reflect.Interface {
		return inner, true
	}
	out := reflect.New(v.Type().Elem())
	out.Elem().Set(inner)
	return out, true
}

func rewriteFields(v reflect.Value, at string, to change) (out reflect.Value, changed bool) {
	if writesItself(v.Type()) {
		return v, false
	}
	out = v
	for i := range v.NumField() {
		name, ok := fieldName(v.Type().Field(i))
		if !ok {
			continue
		}
		field, different := rewrite(v.Field(i), at+name, to)
		if !different {
			continue
		}
		if !changed {
			out, changed = reflect.New(v.Type()).Elem(), true
			out.Set(v)
		}
		out.Field(i).Set(field)
	}
	return out, changed
}

// writesItself tells whether a type has its own form in JSON, as times have.
func writesItself(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()) ||
		reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// fieldName is the part of a JSON Pointer that a field adds: nothing where it is embedded. ok is
// false for a field that is not in the JSON.
func fieldName(f reflect.StructField) (name string, ok bool) {
	tag := f.Tag.Get("json")
	if tag == "-" || !f.IsExported() {
		return "", false
	}
	name, _, _ = strings.Cut(tag, ",")
	switch {
	case name != "":
		return "/" + name, true
	case f.Anonymous:
		return "", true
	}
	return "/" + f.Name, true
}

func rewriteElements(v reflect.Value, at string, to change) (out reflect.Value, changed bool) {
	out = v
	if v.Type().Elem().Kind() == reflect.Uint8 { // base64 already
		return v, false
	}
	for i := range v.Len() {
		element, different := rewrite(v.Index(i), at+"/"+strconv.Itoa(i), to)
		if !different {
			continue
		}
		if !changed {
			out, changed = copyOf(v), true
		}
		out.Index(i).Set(element)
	}
	return out, changed
}

func copyOf(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Array {
		out := reflect.New(v.Type()).Elem()
		out.Set(v)
		return out
	}
	out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
	reflect.Copy(out, v)
	return out
}

func rewriteEntries(v reflect.Value, at string, to change) (reflect.Value, bool) {
	if v.Len() == 0 {
		return v, false
	}
	out, changed := reflect.MakeMapWithSize(v.Type(), v.Len()), false
	for entries := v.MapRange(); entries.Next(); {
		pointer := at + "/" + pointerEscape.Replace(Escape(entries.Key().String()))
		key, otherKey := rewrite(entries.Key(), pointer, to)
		value, otherValue := rewrite(entries.Value(), pointer, to)
		out.SetMapIndex(key, value)
		changed = changed || otherKey || otherValue
	}
	if !changed {
		return v, false
	}
	return out, true
}

// pointerEscape is for names within a JSON Pointer (RFC 6901, section 3).
var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")
