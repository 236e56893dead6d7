package fstab

import (
	"fmt"
	"path/filepath"
	"strings"
)

// splitNames splits at colons. A name has its own written \: and its backslashes, where a colon or
// a backslash follows, \\. There are at most n parts; -1 is no limit.
func splitNames(text string, n int) []string {
	parts := []string{""}
	last := &parts[0]
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == ':' || text[i+1] == '\\'):
			i++
			*last += text[i : i+1]
		case text[i] == ':' && len(parts) != n:
			parts = append(parts, "")
			last = &parts[len(parts)-1]
		default:
			*last += text[i : i+1]
		}
	}
	return parts
}

// ParseBind reads SRC[:DST][:OPTIONS] of a command line; a colon in a name is written \:. A
// relative SRC is one of the current directory.
func ParseBind(text string, readOnly bool) (Mount, error) {
	parts := splitNames(text, 3)
	if parts[0] == "" {
		return Mount{}, fmt.Errorf("the bind %q: it names nothing of the host", text)
	}
	source := parts[0]
	if !filepath.IsAbs(source) {
		var err error
		if source, err = filepath.Abs(source); err != nil {
			return Mount{}, fmt.Errorf("the bind %q: %w", text, err)
		}
	}
	m := Mount{Type: "rbind", Source: source, Target: source, Mkdir: true}
	if len(parts) > 1 && parts[1] != "" {
		m.Target = parts[1]
	}
	if len(parts) > 2 {
		kind, reason := m.given(parts[2])
		if reason == "" && m.Data != "" {
			reason = "a bind takes no " + m.Data
		}
		if reason != "" {
			return m, fmt.Errorf("the bind %q: %s", text, reason)
		}
		if kind != "" {
			m.Type = kind
		}
	}
	m.ReadOnly = m.ReadOnly || readOnly
	if !strings.HasPrefix(m.Target, "/") {
		return m,
			fmt.Errorf(
				`the bind %q: its path in the jail must be absolute; \: is a colon in a name`,
				text)
	}
	return m, nil
}

// ParseTmpfs reads DST[:OPTIONS] of a command line; a colon in DST is written \:.
func ParseTmpfs(text string) (Mount, error) {
	parts := splitNames(text, 2)
	m := Mount{Type: "tmpfs", Target: parts[0], Mkdir: true, NoDev: true}
	if !strings.HasPrefix(m.Target, "/") {
		return m, fmt.Errorf("the tmpfs %q: its path must be absolute", text)
	}
	if len(parts) > 1 && parts[1] != "" {
		kind, reason := m.given(parts[1])
		if kind != "" {
			reason = "it is no bind"
		}
		if reason != "" {
			return m, fmt.Errorf("the tmpfs %q: %s", text, reason)
		}
	}
	return m, nil
}

// given reads options of a command line, where nothing is left out.
func (m *Mount) given(text string) (kind, reason string) {
	o := options{mount: m}
	reason = o.read(splitOptions(text))
	if notes := o.allNotes(); reason == "" && len(notes) > 0 {
		reason = notes[0]
	}
	return o.kind, reason
}
