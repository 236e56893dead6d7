package scratch

import (
	"sync"

	"nsbuild/internal/budget"
)

// Memory is what the tmpfs of all builds of this process may take together: half of what was free
// when the first began. The rest is for what runs in them.
type Memory struct {
	Total int64 // bytes; 0: it is asked for when some is first taken

	mu     sync.Mutex
	shares int // how many builds there may be at a time; 0 means one
	taken  int64
}

// Divide says how many builds share the memory.
func (m *Memory) Divide(shares int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shares = shares
}

// Take sets memory aside for one tmpfs: as much as was asked for, else a share, which most bounds
// unless it is 0. It gives 0 when that is not there.
func (m *Memory) Take(asked, most int64) (limit int64, give func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Total == 0 {
		b, err := budget.Read()
		if err != nil {
			return 0, nil, err
		}
		m.Total = b.Scratch()
	}
	limit = m.Total / int64(max(1, m.shares))
	switch {
	case asked > 0:
		limit = asked
	case most > 0:
		limit = min(limit, most)
	}
	if limit > m.Total-m.taken {
		return 0, func() {}, nil
	}
	m.taken += limit
	return limit, sync.OnceFunc(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.taken -= limit
	}), nil
}
