package actors

import (
	"maps"
	"slices"
	"sync"

	"github.com/gabiondb/gabion/messages"
)

// underway is the work on backups that goes on, for those who ask how far it is. The zero value is ready.
type underway struct {
	mu   sync.Mutex
	next uint64
	all  map[uint64]*messages.Progress
}

// begin adds work; total is 0 where its bytes are not known beforehand. add counts bytes that were done, and may be called by
// any goroutine; end takes the work away, and what is added after that counts for nothing.
func (u *underway) begin(what, table, backupID string, total int64) (add func(bytes int64), end func()) {
	p := &messages.Progress{What: what, Table: table, BackupId: backupID, Total: total}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = make(map[uint64]*messages.Progress)
	}
	u.next++
	id := u.next
	u.all[id] = p
	add = func(bytes int64) {
		u.mu.Lock()
		defer u.mu.Unlock()
		p.Bytes += bytes
	}
	end = func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.all, id)
	}
	return add, end
}

// list returns a copy of what goes on, in the order in which it began.
func (u *underway) list() []*messages.Progress {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []*messages.Progress
	for _, id := range slices.Sorted(maps.Keys(u.all)) {
		p := u.all[id]
		all = append(all, &messages.Progress{What: p.What, Table: p.Table, BackupId: p.BackupId, Bytes: p.Bytes, Total: p.Total})
	}
	return all
}

// Progress returns the copies, verifies and restores of backups that go on, in the order in which they began. It waits for
// nothing.
func (g *Gabion) Progress() []*messages.Progress { return g.tree.underway.list() }
