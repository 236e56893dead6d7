package gitsrc

import (
	"bufio"
	"io"
	"strings"
)

// Config is what counts here of a gbp.conf(5).
type Config struct {
	UpstreamTag    string // format of the tags of upstream versions
	UpstreamBranch string
	UpstreamTree   string // "TAG", "BRANCH", or the name of a commit
	PristineTar    bool
}

// DefaultConfig is what gbp does without a gbp.conf, but for pristine-tar: that is used where it has something.
func DefaultConfig() Config {
	return Config{UpstreamTag: "upstream/%(version)s", UpstreamBranch: "upstream", UpstreamTree: "TAG", PristineTar: true}
}

// ReadConfig adds what a gbp.conf says for all commands and for buildpackage; of what it says otherwise nothing is looked at.
func ReadConfig(c Config, r io.Reader) (Config, error) {
	section := ""
	lines := bufio.NewScanner(io.LimitReader(r, 1<<20))
	values := map[string]map[string]string{"DEFAULT": {}, "buildpackage": {}}
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "", line[0] == '#', line[0] == ';':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		default:
			i := strings.IndexAny(line, "=:")
			if into := values[section]; i > 0 && into != nil {
				into[strings.ToLower(strings.TrimSpace(line[:i]))] = strings.TrimSpace(line[i+1:])
			}
		}
	}
	for _, s := range []string{"DEFAULT", "buildpackage"} {
		for key, to := range map[string]*string{"upstream-tag": &c.UpstreamTag, "upstream-branch": &c.UpstreamBranch, "upstream-tree": &c.UpstreamTree} {
			if v, ok := values[s][key]; ok {
				*to = strings.Trim(v, `"'`)
			}
		}
		if v, ok := values[s]["pristine-tar"]; ok {
			c.PristineTar = strings.EqualFold(v, "true") || v == "1" || strings.EqualFold(v, "yes") || strings.EqualFold(v, "on")
		}
	}
	return c, lines.Err()
}

// tag is the name of the tag of an upstream version. Tags cannot have all the characters of versions: gbp writes them otherwise (DEP-14).
func (c Config) tag(version string) string {
	mangled := strings.NewReplacer("~", "_", ":", "%").Replace(version)
	for strings.Contains(mangled, "..") {
		mangled = strings.ReplaceAll(mangled, "..", ".#.")
	}
	if strings.HasSuffix(mangled, ".") || strings.HasSuffix(mangled, ".lock") {
		i := strings.LastIndexByte(mangled, '.')
		mangled = mangled[:i] + ".#" + mangled[i+1:]
	}
	hyphened := strings.ReplaceAll(mangled, ".", "-")
	return strings.NewReplacer("%(version)s", mangled, "%(version%.%-)s", hyphened, "%(hversion)s", hyphened).Replace(c.UpstreamTag)
}
