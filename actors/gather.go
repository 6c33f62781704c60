package actors

import "time"

// Each group costs a batch, a record of the table and answers of its own, and is of use only if it reaches the WAL before
// the next fsync begins. So the first few go at once, and of what comes while they are in flight larger ones are made.
const (
	// eagerGroups is how many in flight do not hold up the next.
	eagerGroups = 4
	// plentyOps is how many pending operations are worth a group whatever is in flight.
	plentyOps = 512
	// gatherShare is the part of a group's latency that its requests are held up at most: what arrives evenly between two
	// fsyncs is in the second but for that part.
	gatherShare = 8
	mostGather  = 10 * time.Millisecond // also where the disk has hung for a while
)

// gather says when the committer takes its next group. The committer's mu guards it.
type gather struct {
	wake    func() // has the committer ask again
	latency time.Duration
	timer   *time.Timer
	waits   bool // for the timer
	due     bool
}

// ready tells whether the next group is to be taken now. If not, wake is called in time.
func (g *gather) ready(inFlight, ops int) bool {
	if inFlight < eagerGroups || ops >= plentyOps || g.due {
		return true
	}
	if g.waits {
		return false
	}
	g.waits = true
	wait := min(g.latency/gatherShare, mostGather)
	if g.timer == nil {
		g.timer = time.AfterFunc(wait, g.wake)
	} else {
		g.timer.Reset(wait)
	}
	return false
}

// taken notes that a group was.
func (g *gather) taken() {
	if g.waits {
		g.timer.Stop()
	}
	g.waits, g.due = false, false
}

// answered notes how long a group was on its way.
func (g *gather) answered(took time.Duration) { g.latency += (took - g.latency) / 8 }
