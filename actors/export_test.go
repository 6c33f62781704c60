package actors

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// SetClock has the schedule read another clock than the machine's, until restore.
func SetClock(now func() time.Time) (restore func()) {
	before := clock
	clock = now
	return func() { clock = before }
}

// Queued is how many messages an actor's mailbox believes to hold: of a table, or "backup". One that it can never
// take keeps a core busy for ever.
func (g *Gabion) Queued(name string) int {
	if name == coordinatorName {
		return g.tree.coordinator.UserMessageCount()
	}
	return g.tree.members.find(name).mailbox.UserMessageCount()
}

// Snapshots is how many snapshots of a table are open.
func (g *Gabion) Snapshots(table string) int {
	return g.tree.members.find(table).serving.Load().store.Snapshots()
}

// GroupInFlight is what one group holds that was taken and not yet answered.
type GroupInFlight struct {
	Requests, Bytes int
	Range           bool
}

// GroupsInFlight are a table's, largest first.
func (g *Gabion) GroupsInFlight(table string) []GroupInFlight {
	m := g.tree.members.find(table).serving.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	var groups []GroupInFlight
	for taken := range m.inFlight {
		var in GroupInFlight
		for _, e := range taken.entries {
			in.Requests++
			in.Bytes += e.bytes
			in.Range = in.Range || e.isRange
		}
		groups = append(groups, in)
	}
	slices.SortFunc(groups, func(a, b GroupInFlight) int {
		return cmp.Or(b.Bytes-a.Bytes, b.Requests-a.Requests)
	})
	return groups
}

// Owners is how many owners there are, those on their way out too.
func (g *Gabion) Owners() int {
	n := -1 // the coordinator
	for _, bucket := range g.tree.system.ProcessRegistry.LocalPIDs.LocalPIDs {
		for _, id := range bucket.Keys() {
			name, child := strings.CutPrefix(id, g.supervisor.GetId()+"/")
			if child && !strings.HasPrefix(name, "reply") {
				n++
			}
		}
	}
	g.tree.graves.mu.Lock()
	defer g.tree.graves.mu.Unlock()
	return n - len(g.tree.graves.all)
}

// ThinOut is thinOut, after AddRun of each run.
func ThinOut(history *messages.History, now time.Time, runs ...*messages.RunHistory) {
	for _, run := range runs {
		addRun(history, run)
	}
	members := make(map[string]bool)
	for _, table := range history.GetTables() {
		members[table.GetTable()] = true
	}
	thinOut(history, now, members)
}

// ThinOutBut is thinOut where these tables alone are members.
func ThinOutBut(history *messages.History, now time.Time, members ...string) {
	all := make(map[string]bool)
	for _, member := range members {
		all[member] = true
	}
	thinOut(history, now, all)
}

// Thinned is thinned.
func Thinned(points []*messages.SizePoint, now time.Time, wider int) []*messages.SizePoint {
	return thinned(points, now, wider)
}
