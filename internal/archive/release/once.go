package release

import (
	"fmt"
	"sync"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/fault"
)

// onceLog says a thing once.
type onceLog struct {
	log  logrus.FieldLogger
	mu   sync.Mutex
	said map[string]bool
}

// warn says something once in the life of Files: a Release file is judged each time that it is
// read.
func (l *onceLog) warn(format string, args ...any) { l.once(l.log, fmt.Sprintf(format, args...)) }

// insist is warn for those, too, who want to know no more than they must.
func (l *onceLog) insist(format string, args ...any) {
	l.once(l.log.WithField(fault.Shown, true), fmt.Sprintf(format, args...))
}

// once writes a warning that was not yet written.
func (l *onceLog) once(log logrus.FieldLogger, text string) {
	l.mu.Lock()
	again := l.said[text]
	l.said[text] = true
	l.mu.Unlock()
	if !again {
		log.Warn(text)
	}
}
