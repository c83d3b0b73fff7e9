package machine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

const (
	// maxHolds is how many names of holds there may be at once, and maxHoldName how long one may be, in bytes.
	maxHolds    = 64
	maxHoldName = 64
)

// Hold keeps the machine from going idle until Release. Holds of one name are counted.
func (m *Machine) Hold(name, reason string) ([]agentapi.Held, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.holds[name]
	switch {
	case name == "" || len(name) > maxHoldName:
		return nil, fmt.Errorf("cannot hold %s under the name %q: use 1 to %d bytes", m.name, name, maxHoldName)
	case h == nil && len(m.holds) >= maxHolds:
		return nil, fmt.Errorf("cannot hold %s: there are %d holds, and no more may be", m.name, len(m.holds))
	case h == nil:
		h = &agentapi.Held{Hold: name, Since: time.Now()}
		m.holds[name] = h
	}
	h.Count++
	if reason != "" {
		h.Reason = reason[:min(len(reason), 4*maxHoldName)]
	}
	m.consider()
	return m.held(), nil
}

// Release takes one hold of that name back, or all of them. One that is not there is no error.
func (m *Machine) Release(name string, all bool) []agentapi.Held {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.holds[name]; h != nil {
		if h.Count--; all || h.Count == 0 {
			delete(m.holds, name)
		}
		m.used = time.Now()
		m.consider()
	}
	return m.held()
}

// Holds are the holds that there are, by name.
func (m *Machine) Holds() []agentapi.Held {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held()
}

// held are the holds by name. The caller holds mu.
func (m *Machine) held() []agentapi.Held {
	var all []agentapi.Held
	for _, h := range m.holds {
		all = append(all, *h)
	}
	slices.SortFunc(all, func(a, b agentapi.Held) int { return cmp.Compare(a.Hold, b.Hold) })
	return all
}
