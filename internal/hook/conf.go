package hook

import (
	"fmt"
	"strings"
)

// confName is the file that says what the hooks of a native directory need.
const confName = "hook.conf"

// conf is what a native directory needs.
type conf struct {
	description  string
	buildDepends string // relations, installed with the build dependencies
	depends      string // relations, installed in the jail before the hooks of a stage
	cache        bool   // a directory that outlives the build
	network      bool
	log          bool // a copy of the log so far
}

// parseConf reads lines "Field: value". Blank lines and those that begin with # say nothing.
func parseConf(text string) (conf, error) {
	var c conf
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return c, fmt.Errorf("line %d: it is not \"Field: value\"", number)
		}
		value = strings.TrimSpace(value)
		flag := func(into *bool) error {
			switch value {
			case "yes":
				*into = true
			case "no":
				*into = false
			default:
				return fmt.Errorf("line %d: %s is yes or no, not %q", number, name, value)
			}
			return nil
		}
		var err error
		switch name {
		case "Description":
			c.description = value
		case "Build-Depends":
			c.buildDepends = value
		case "Depends":
			c.depends = value
		case "Cache":
			err = flag(&c.cache)
		case "Network":
			err = flag(&c.network)
		case "Log":
			err = flag(&c.log)
		default:
			err = fmt.Errorf("line %d: there is no field %q (Description, Build-Depends, "+
				"Depends, Cache, Network, Log)", number, name)
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}
