package sbuildrc

import (
	"slices"
	"strconv"
)

// Kind is what a Value is.
type Kind int

// The kinds of values. List and Hash are what Perl refers to with a reference.
const (
	Undef Kind = iota
	Scalar
	List
	Hash
	Pattern    // a regular expression, as Go's regexp has it
	Unreadable // a form that is not understood
)

// Value is a value of Perl's.
type Value struct {
	Kind   Kind
	Text   string            // of a Scalar or Pattern; of an Unreadable one: why
	Items  []*Value          // of a List
	Fields map[string]*Value // of a Hash
}

// Bounds of what a configuration is: files, strings and lists larger than this are not read.
const (
	maxFile  = 1 << 18
	maxText  = 1 << 18
	maxItems = 1 << 14
	maxDepth = 64
)

func text(s string) *Value { return &Value{Kind: Scalar, Text: s} }

// True is Perl's truth of a value: undef, the empty string and 0 are false.
func (v *Value) True() bool {
	switch v.Kind {
	case Undef:
		return false
	case Scalar:
		return v.Text != "" && v.Text != "0"
	}
	return true
}

// Strings are the texts of a list of scalars; ok is false when it is something else.
func (v *Value) Strings() (out []string, ok bool) {
	if v.Kind != List {
		return nil, false
	}
	for _, i := range v.Items {
		if i.Kind != Scalar {
			return nil, false
		}
		out = append(out, i.Text)
	}
	return out, true
}

// Keys are the names of a hash's fields, sorted.
func (v *Value) Keys() []string {
	var out []string
	for k := range v.Fields {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// number is a numeric literal as Perl prints it; ok is false for one that it would print in another
// way.
func number(literal string) (string, bool) {
	n, err := strconv.ParseInt(literal, 10, 64)
	if err == nil && (literal == "0" || literal[0] != '0') {
		return strconv.FormatInt(n, 10), true
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil || literal[0] == '0' && len(literal) > 1 && literal[1] != '.' {
		return "", false
	}
	return strconv.FormatFloat(f, 'g', -1, 64), true
}
