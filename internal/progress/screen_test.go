package progress

import (
	"strconv"
	"strings"
	"sync"
)

// screen is as much of a terminal as the display uses: it wraps, scrolls nothing away, and
// understands \r, \n, cursor up, clear to the end, and colours.
type screen struct {
	mu            sync.Mutex
	width, height int
	rows          [][]rune
	x, y          int
	background    bool
	err           error // returned by Write
	colors        int   // colour sequences seen
}

func newScreen(width, height int) *screen {
	return &screen{width: width, height: height, rows: [][]rune{nil}}
}

func (s *screen) size() (int, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.width, s.height
}

func (s *screen) foreground() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.background
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	text := []rune(string(b))
	for i := 0; i < len(text); i++ {
		switch r := text[i]; r {
		case '\r':
			s.x = 0
		case '\n':
			s.x = 0
			s.down()
		case '\x1b':
			end := i + 2
			for text[end] < '@' {
				end++
			}
			s.control(text[end], string(text[i+2:end]))
			i = end
		default:
			if s.x == s.width {
				s.x = 0
				s.down()
			}
			row := s.rows[s.y]
			for len(row) <= s.x {
				row = append(row, ' ')
			}
			row[s.x] = r
			s.rows[s.y] = row
			s.x++
		}
	}
	return len(b), nil
}

func (s *screen) down() {
	s.y++
	for len(s.rows) <= s.y {
		s.rows = append(s.rows, nil)
	}
}

func (s *screen) control(final rune, args string) {
	switch final {
	case 'A':
		n, _ := strconv.Atoi(args)
		s.y = max(0, s.y-n)
	case 'J':
		s.rows[s.y] = s.rows[s.y][:min(s.x, len(s.rows[s.y]))]
		s.rows = s.rows[:s.y+1]
	case 'm':
		s.colors++
	default:
		panic("unexpected control sequence " + string(final))
	}
}

// resize makes the terminal narrower or wider and wraps its rows anew, as most terminals do.
func (s *screen) resize(width int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.width = width
	var rows [][]rune
	for i, row := range s.rows {
		if i == s.y {
			s.x = len(row)
		}
		for len(row) > width {
			rows = append(rows, row[:width])
			row = row[width:]
			if i == s.y {
				s.x -= width
			}
		}
		rows = append(rows, row)
	}
	s.y = len(rows) - 1
	s.rows = rows
}

// lines is what stands on the screen.
func (s *screen) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, row := range s.rows {
		out = append(out, strings.TrimRight(string(row), " "))
	}
	return out
}
