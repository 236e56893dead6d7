package pkgbuild

import (
	"sync"

	"nsbuild/internal/archive"
	"nsbuild/internal/progress"
)

// Meter passes what the archive client transfers to whichever phase is under way.
type Meter struct {
	mu    sync.Mutex
	phase *progress.Phase
	bytes int64
}

// Progress is archive.Options.Progress.
func (m *Meter) Progress(p archive.Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bytes += p.Done
	if m.phase != nil {
		m.phase.AddTotal(p.Total)
		m.phase.Add(p.Done)
	}
}

// during counts transfers for a phase until stop is called.
func (m *Meter) during(ph *progress.Phase) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.phase
	m.phase = ph
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.phase = before
	}
}

// downloaded is the number of bytes transferred so far.
func (m *Meter) downloaded() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}
