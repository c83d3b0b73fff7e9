package exec

import "sync"

// A request is what other goroutines want a core to drop before it goes on.
type request struct {
	memory  bool     // the memory map changed
	ranges  []span64 // where
	all     bool     // all translations
	local   bool     // those of ASIDs
	vas     []uint64
	allCode bool
	pages   []uint64 // physical pages whose decoded code is stale
}

// maxList bounds the lists of a request; beyond it everything is dropped.
const maxList = 64

// span64 is n bytes of guest physical memory.
type span64 struct{ base, n uint64 }

// remap notes that another memory stands behind a range, or none.
func (r *request) remap(s span64) {
	r.memory = true
	if len(r.ranges) == maxList {
		r.allCode, r.ranges = true, r.ranges[:0]
	}
	if !r.allCode {
		r.ranges = append(r.ranges, s)
	}
}

func (r *request) dropVA(va uint64) {
	if len(r.vas) == maxList {
		r.all, r.vas = true, r.vas[:0]
	}
	if !r.all {
		r.vas = append(r.vas, va)
	}
}

func (r *request) dropCode(page uint64) {
	if len(r.pages) == maxList {
		r.allCode, r.pages = true, r.pages[:0]
	}
	if !r.allCode {
		r.pages = append(r.pages, page)
	}
}

// An inbox takes requests. A core that is outside Run counts as having done
// them: it does them when it enters, before it uses anything.
type inbox struct {
	mu      sync.Mutex // guards the rest
	idle    sync.Cond  // done or running changed
	req     request
	posted  uint64
	done    uint64
	running bool
	owed    []ticket // the owner's: what its next DSB must wait for
}

// A ticket is a request that somebody may wait for.
type ticket struct {
	to  *Core
	seq uint64
}

// post adds to the inbox.
func (c *Core) post(add func(*request)) ticket {
	c.inbox.mu.Lock()
	defer c.inbox.mu.Unlock()
	add(&c.req)
	c.posted++
	c.attention.Store(1)
	return ticket{c, c.posted}
}

// wait returns when the request has been done or is bound to be before the core
// runs on.
func (t ticket) wait() {
	in := &t.to.inbox
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.running && in.done < t.seq {
		in.idle.Wait()
	}
}

// broadcast posts to every core but from and waits.
func (m *Machine) broadcast(from *Core, add func(*request)) {
	for _, t := range m.postAll(from, add) {
		t.wait()
	}
}

func (m *Machine) postAll(from *Core, add func(*request)) []ticket {
	var tickets []ticket
	for _, c := range *m.cores.Load() {
		if c != from {
			tickets = append(tickets, c.post(add))
		}
	}
	return tickets
}

// enter begins, and resumes, the time in which the core uses translations.
func (c *Core) enter() {
	c.inbox.mu.Lock()
	defer c.inbox.mu.Unlock()
	c.running = true
	c.serve()
}

// pause ends it: requests posted from now on need not be waited for.
func (c *Core) pause() {
	c.inbox.mu.Lock()
	defer c.inbox.mu.Unlock()
	c.running = false
	c.idle.Broadcast()
}

// drain does what has been asked for.
func (c *Core) drain() {
	c.inbox.mu.Lock()
	defer c.inbox.mu.Unlock()
	c.serve()
}

// serve does the requests; the caller holds the inbox.
func (c *Core) serve() {
	if c.done == c.posted {
		return
	}
	r := &c.req
	if r.memory {
		c.mem = c.machine.mem.Load()
		c.flushAll()
		c.dropCodeIn(r.ranges)
	}
	if r.all {
		c.flushAll()
	}
	if r.local {
		c.flushLocal()
	}
	for _, va := range r.vas {
		c.flushVA(va)
	}
	if r.allCode {
		c.dropAllCode()
	}
	for _, page := range r.pages {
		c.dropCode(page)
	}
	*r = request{vas: r.vas[:0], pages: r.pages[:0], ranges: r.ranges[:0]}
	c.done = c.posted
	c.idle.Broadcast()
}

// dsb orders memory and waits until other cores have done what this one's TLBI
// and IC asked of them. Meanwhile it counts as outside Run, so that two cores
// may wait for each other.
func (c *Core) dsb() {
	fence()
	if len(c.owed) == 0 {
		return
	}
	c.pause()
	for _, t := range c.owed {
		t.wait()
	}
	c.owed = c.owed[:0]
	c.enter()
}

// ask posts to the other cores; the next DSB waits.
func (c *Core) ask(add func(*request)) {
	c.owed = append(c.owed, c.machine.postAll(c, add)...)
	if len(c.owed) > maxList*8 { // no DSB for long: wait now rather than grow
		c.dsb()
	}
}
