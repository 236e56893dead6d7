package progress

import "sync"

// Meter passes what is transferred to whichever phase is under way.
type Meter struct {
	mu    sync.Mutex
	phase *Phase
	bytes int64
}

// Add counts bytes that are expected besides, and bytes that have come.
func (m *Meter) Add(total, done int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bytes += done
	if m.phase != nil {
		m.phase.AddTotal(total)
		m.phase.Add(done)
	}
}

// During counts transfers for a phase until stop is called.
func (m *Meter) During(ph *Phase) (stop func()) {
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

// Transferred is the number of bytes that have come so far.
func (m *Meter) Transferred() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}
