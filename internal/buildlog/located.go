package buildlog

import (
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Located is an error that a tool has found at a place in a file.
type Located struct {
	Line   int    // of the log
	File   string // as the tool calls it
	Dir    string // that make was in, "" where it has not said so
	At     int    // line of the file
	Column int    // 0: not known
	Text   string // safe for a terminal
}

// maxLocated is how many are kept: the first ones, since what follows is often their consequence.
// GitHub shows no more of one step.
const maxLocated = 10

// located gathers them.
type located struct {
	all   []Located
	dirs  []string // that make is in, the innermost last
	rust  string   // the error that a place is said of in a line below it
	cmake bool     // the text of the last one is in a line below it
}

// places are the forms in which tools name them: file, line, perhaps a column, text.
var places = sync.OnceValue(func() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`^([^\s:][^:]*):(\d+):(?:(\d+):)? (?:fatal )?error: (.+)$`),
		regexp.MustCompile(`^([^\s:]+\.go):(\d+):(?:(\d+):)? (.+)$`),
		regexp.MustCompile(`^([^\s:]+):(\d+):() \*\*\* (.+?)\.  Stop\.$`),
	}
})

var (
	rustPlace = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^ *--> ([^:]+):(\d+):(\d+)$`)
	})
	cmakePlace = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^CMake Error at ([^:]+):(\d+) \(`)
	})
	makeDir = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^make(?:\[\d+\])?: (Entering|Leaving) directory '([^']*)'$`)
	})
)

// maxDirs bounds how deep make is believed to be.
const maxDirs = 100

// line looks at a line of the section in which the package is built.
func (l *located) line(section string, line Line) {
	if section != "Build" || len(l.all) >= maxLocated && !l.cmake {
		return
	}
	text := line.Text
	switch {
	case l.cmake:
		if said := strings.TrimSpace(text); said != "" {
			l.all[len(l.all)-1].Text, l.cmake = VisibleString(said), false
		}
	case strings.HasPrefix(text, "make") && strings.Contains(text, " directory '"):
		l.moved(text)
	case strings.HasPrefix(text, "error"):
		l.rust = text
	case l.rust != "" && strings.Contains(text, "--> "):
		if m := rustPlace().FindStringSubmatch(text); m != nil {
			_, said, _ := strings.Cut(l.rust, ": ")
			l.add(line.Number, m[1], m[2], m[3], said)
		}
		l.rust = ""
	case strings.HasPrefix(text, "CMake Error at "):
		if m := cmakePlace().FindStringSubmatch(text); m != nil {
			l.cmake = l.add(line.Number, m[1], m[2], "", "CMake Error")
		}
	case containsAny(text, []string{"error: ", ".go:", ": *** "}):
		for _, re := range places() {
			if m := re.FindStringSubmatch(text); m != nil {
				l.add(line.Number, m[1], m[2], m[3], m[4])
				return
			}
		}
	}
}

// moved follows make from directory to directory.
func (l *located) moved(text string) {
	m := makeDir().FindStringSubmatch(text)
	switch {
	case m == nil:
	case m[1] == "Entering" && len(l.dirs) < maxDirs:
		l.dirs = append(l.dirs, m[2])
	case m[1] == "Leaving" && len(l.dirs) > 0:
		l.dirs = l.dirs[:len(l.dirs)-1]
	}
}

// add notes a place, unless it is of a program that merely tries what a compiler can do.
func (l *located) add(number int, file, at, column, text string) bool {
	if strings.HasPrefix(path.Base(file), "conftest") || strings.Contains(file, "CMakeScratch") ||
		strings.Contains(file, "CMakeTmp") {
		return false
	}
	one := Located{Line: number, File: file, Text: VisibleString(text)}
	one.At, _ = strconv.Atoi(at)         // they are digits
	one.Column, _ = strconv.Atoi(column) // or none
	if n := len(l.dirs); n > 0 {
		one.Dir = l.dirs[n-1]
	}
	for _, before := range l.all {
		if before.File == one.File && before.At == one.At && before.Text == one.Text {
			return false
		}
	}
	l.all = append(l.all, one)
	return true
}

// Located are the errors that tools have found in files, the first first.
func (l *Log) Located() []Located {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Located(nil), l.located.all...)
}
