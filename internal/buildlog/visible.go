package buildlog

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Visible makes text safe for a terminal: every control character but newline and tab, every C1
// control, every invisible direction mark and every byte that is not UTF-8 is written out as caret
// or \x notation, and so is what a build service would take for a command to itself. Text that
// needs no change is returned as it is.
func Visible(p []byte) []byte {
	return disarm(printable(p))
}

func printable(p []byte) []byte {
	first := 0
	for first < len(p) {
		r, n := utf8.DecodeRune(p[first:])
		if unsafeRune(r, n) {
			break
		}
		first += n
	}
	if first == len(p) {
		return p
	}
	var out bytes.Buffer
	out.Grow(len(p) + 16)
	out.Write(p[:first])
	for p = p[first:]; len(p) > 0; {
		r, n := utf8.DecodeRune(p)
		switch {
		case !unsafeRune(r, n):
			out.Write(p[:n])
		case r < ' ':
			out.WriteByte('^')
			out.WriteByte(byte(r) + '@')
		case r == 0x7f:
			out.WriteString("^?")
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&out, `\x%02x`, p[0])
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		p = p[n:]
	}
	return out.Bytes()
}

// VisibleString is Visible for a string, after which nothing comes.
func VisibleString(s string) string {
	return strings.TrimSuffix(string(Visible([]byte(s+"\n"))), "\n")
}

func unsafeRune(r rune, n int) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < ' ' || r >= 0x7f && r < 0xa0:
		return true
	case r == utf8.RuneError && n == 1:
		return true
	case r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f ||
		r == 0x2028 || r == 0x2029:
		return true
	}
	return false
}
