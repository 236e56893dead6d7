package docs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// A page is a Markdown file whose commands are to be run. What counts in it:
//
//	    $ command            is run by one bash for the whole page
//	    > its second line
//	    output               is compared, when there is any: of durations and sizes any will do, "…"
//	                         is any text in a line, and a line of it any lines
//	    $ command  # status 2
//
// A block that is fenced, and whose info string has a second word, is a file of that name, which is
// written where the shell is. Other fenced blocks are not run.

// step is a command of a page, or a file in it.
type step struct {
	line    int // in the page
	command string
	status  int
	output  []string

	file, text string
}

const indent = "    "

var statusNote = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\s+# status (\d+)$`)
})

// parse finds the steps of a page.
func parse(text string) (steps []step, err error) {
	all := strings.Split(text, "\n")
	var block *step // the command whose output comes
	for i := 0; i < len(all); i++ {
		line := all[i]
		if info, ok := strings.CutPrefix(line, "```"); ok {
			s := step{line: i + 1}
			for i++; i < len(all) && !strings.HasPrefix(all[i], "```"); i++ {
				s.text += all[i] + "\n"
			}
			if i == len(all) {
				return nil, fmt.Errorf("line %d: the block does not end", s.line)
			}
			if words := strings.Fields(info); len(words) == 2 {
				s.file = words[1]
				steps = append(steps, s)
			}
			block = nil
			continue
		}
		code, ok := strings.CutPrefix(line, indent)
		command, isCommand := strings.CutPrefix(code, "$ ")
		more, isMore := strings.CutPrefix(code, "> ")
		switch {
		case !ok && strings.TrimSpace(line) != "":
			block = nil
		case !ok && block == nil:
		case !ok: // an empty line, which belongs to the output if more of that follows
			block.output = append(block.output, "")
		case isCommand:
			s := step{line: i + 1, command: command}
			if m := statusNote().FindStringSubmatch(command); m != nil {
				if s.status, err = strconv.Atoi(m[1]); err != nil {
					return nil, err
				}
			}
			steps = append(steps, s)
			block = &steps[len(steps)-1]
		case block == nil:
		case isMore && len(block.output) == 0:
			block.command += "\n" + more
		default:
			block.output = append(block.output, code)
		}
	}
	for i := range steps {
		for o := &steps[i].output; len(*o) > 0 && (*o)[len(*o)-1] == ""; {
			*o = (*o)[:len(*o)-1]
		}
	}
	return steps, nil
}

var (
	blanks  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(` {2,}`) })
	varying = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`\b\d+(\.\d+)?(s| [kKMG]i?B(/s)?| B)(\s|$)`)
	})
)

// plain is output without what differs from run to run.
func plain(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		line = blanks().ReplaceAllString(strings.TrimRight(line, " \n"), " ")
		out = append(out, varying().ReplaceAllString(line, "N$2$4"))
	}
	return strings.Join(out, "\n")
}

// shows tells whether a page shows what was really printed.
func (s step) shows(printed string) (bool, error) {
	var pattern strings.Builder
	pattern.WriteString(`^`)
	for _, line := range strings.Split(plain(strings.Join(s.output, "\n")), "\n") {
		if line == "…" {
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		}
		pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + `\n`)
	}
	pattern.WriteString(`$`)
	re, err := regexp.Compile(pattern.String())
	if err != nil {
		return false, err
	}
	return re.MatchString(strings.TrimRight(plain(printed), "\n") + "\n"), nil
}
