package buildlog

import (
	"bytes"
	"unicode"
)

// What build services read as commands to themselves in what a job prints: "::error ::" where a
// line begins, after white space of Unicode's, and "##[error]", "##vso[…]", "##teamcity[…]",
// "section_start:…" and "section_end:…" anywhere.

// disarm writes the characters that make such a command in \x notation. Text without any is
// returned as it is. The end of p may be within a line.
func disarm(p []byte) []byte {
	colons, hashes := []byte("::"), []byte("##")
	for _, name := range []string{"start:", "end:"} {
		if bytes.Contains(p, []byte("section_"+name)) {
			p = bytes.ReplaceAll(p, []byte("section_"+name), []byte(`section\x5f`+name))
		}
	}
	if !bytes.Contains(p, colons) && !bytes.Contains(p, hashes) && !bytes.HasSuffix(p, hashes[:1]) {
		return p
	}
	var out bytes.Buffer
	for line := range bytes.Lines(p) {
		body := bytes.TrimLeftFunc(line, blank)
		if after, ok := bytes.CutPrefix(body, colons); ok && bytes.Contains(after, colons) {
			out.Write(line[:len(line)-len(body)])
			out.WriteString(`\x3a`)
			line = body[1:]
		}
		disarmHashes(&out, line)
	}
	return out.Bytes()
}

// blank tells what services skip before a command: white space, and characters without a width that
// count as such for some of them.
func blank(r rune) bool { return unicode.IsSpace(r) || r == '\u200b' || r == '\ufeff' }

// disarmHashes copies a line; hashes that begin a command are written out.
func disarmHashes(out *bytes.Buffer, line []byte) {
	for len(line) > 0 {
		at := bytes.IndexByte(line, '#')
		if at < 0 {
			break
		}
		out.Write(line[:at])
		line = line[at:]
		n := len(line) - len(bytes.TrimLeft(line, "#"))
		rest := bytes.TrimLeft(line[n:], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
		if len(rest) == 0 || n > 1 && rest[0] == '[' { // what follows is not known, or is a command
			out.Write(bytes.Repeat([]byte(`\x23`), n))
		} else {
			out.Write(line[:n])
		}
		line = line[n:]
	}
	out.Write(line)
}
