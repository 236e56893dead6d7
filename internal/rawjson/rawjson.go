// Package rawjson carries strings of any bytes through JSON, which by itself has text only: what is
// not UTF-8 would arrive as U+FFFD. File names, arguments and variables may be any bytes.
//
// Both ends of a wire use Marshal and Unmarshal, or an Encoder and a Decoder. Documents that others
// read use Legible.
package rawjson

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Escape writes each byte that is not part of UTF-8 as \xHH, and a backslash as \\.
func Escape(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, s[i])
		case r == '\\':
			out.WriteString(`\\`)
		default:
			out.WriteString(s[i : i+size])
		}
		i += size
	}
	return out.String()
}

// Unescape undoes Escape.
func Unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var out strings.Builder
	for {
		text, rest, more := strings.Cut(s, `\`)
		out.WriteString(text)
		if !more {
			return out.String(), nil
		}
		char, size, ok := unescapeOne(rest)
		if !ok {
			return "", fmt.Errorf(`%q: after a backslash there is neither another nor xHH`, s)
		}
		out.WriteByte(char)
		s = rest[size:]
	}
}

// unescapeOne reads what follows a backslash.
func unescapeOne(s string) (char byte, size int, ok bool) {
	if strings.HasPrefix(s, `\`) {
		return '\\', 1, true
	}
	if len(s) < 3 || s[0] != 'x' {
		return 0, 0, false
	}
	high, low := strings.IndexByte(digits, s[1]), strings.IndexByte(digits, s[2])
	if high < 0 || low < 0 {
		return 0, 0, false
	}
	return byte(high<<4 | low), 3, true
}

const digits = "0123456789abcdef"

// Marshal is json.Marshal with each string escaped. Fields that are embedded without being exported
// are not looked into.
func Marshal(v any) ([]byte, error) { return json.Marshal(escaped(v)) }

// Unmarshal is json.Unmarshal for what Marshal has made. What into points at must be empty.
func Unmarshal(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return err
	}
	return restore(into, everywhere)
}

// Encoder writes values to a stream, a line each.
type Encoder struct{ to *json.Encoder }

// NewEncoder writes to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{json.NewEncoder(w)} }

// Encode writes v as Marshal does.
func (e *Encoder) Encode(v any) error { return e.to.Encode(escaped(v)) }

// Decoder reads values from a stream.
type Decoder struct{ from *json.Decoder }

// NewDecoder reads from r.
func NewDecoder(r io.Reader) *Decoder { return &Decoder{json.NewDecoder(r)} }

// Decode reads the next value as Unmarshal does. The end of the stream is io.EOF.
func (d *Decoder) Decode(into any) error {
	if err := d.from.Decode(into); err != nil {
		return err
	}
	return restore(into, everywhere)
}

func everywhere(string) bool { return true }

// restore unescapes strings of what into points at.
func restore(into any, which func(pointer string) bool) error {
	var wrong error
	target := reflect.ValueOf(into).Elem()
	restored, changed := rewrite(target, "", func(pointer, s string) string {
		if !which(pointer) {
			return s
		}
		raw, err := Unescape(s)
		if err != nil && wrong == nil {
			wrong = err
		}
		return raw
	})
	if changed {
		target.Set(restored)
	}
	return wrong
}

func escaped(v any) any {
	return rewritten(v, func(_, s string) string { return Escape(s) })
}

// Legible makes a value fit for a document: a string that is not UTF-8 is escaped, any other stays
// as it is. It names those that it has escaped by their JSON Pointers (RFC 6901).
func Legible[T any](v T) (T, []string) {
	var pointers []string
	legible, _ := rewrite(reflect.ValueOf(&v).Elem(), "", func(pointer, s string) string {
		if utf8.ValidString(s) {
			return s
		}
		pointers = append(pointers, pointer)
		return Escape(s)
	})
	return legible.Interface().(T), pointers
}

// Exact undoes Legible: of the value that into points at, the strings that pointers name are
// unescaped.
func Exact(into any, pointers []string) error {
	if len(pointers) == 0 {
		return nil
	}
	return restore(into, func(pointer string) bool { return slices.Contains(pointers, pointer) })
}
