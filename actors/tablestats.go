package actors

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// TableStats is what a table has done since this Gabion first opened it. The numbers only grow, until the table is dropped.
type TableStats struct {
	Table string
	// CommitSeconds is how long groups were on their way, from when the committer took one to when it was durable and
	// answered.
	CommitSeconds Histogram
	// GroupOperations is how many operations the groups had.
	GroupOperations Histogram
	// Became counts how often the table came into each state: frozen stores are reopening, disks that hang stalled.
	Became map[messages.TableState]uint64
}

// Histogram counts values by size.
type Histogram struct {
	// Bounds are the upper bounds of the counts, and grow.
	Bounds []float64
	// Counts are of the values up to each of Bounds, all smaller ones included.
	Counts []uint64
	// Count is of all values, Sum their sum.
	Count uint64
	Sum   float64
}

// TableStats returns what each table has done, by name. It waits for nothing.
func (g *Gabion) TableStats() []TableStats {
	var all []TableStats
	for _, m := range g.tree.members.shown() {
		all = append(all, m.stats.read(m.name))
	}
	return all
}

var (
	// commitBounds are in seconds: from what a fast disk takes for an fsync to what a hung one is given.
	commitBounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	groupBounds  = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384}
)

// tableStats counts for TableStats. It may be used by any goroutine.
type tableStats struct {
	// One number for each bound, and one for what is larger.
	commits [17]atomic.Uint64
	groups  [14]atomic.Uint64
	nanos   atomic.Uint64
	ops     atomic.Uint64
	became  [16]atomic.Uint64 // by state
}

// committed counts a group that is durable.
func (s *tableStats) committed(ops int, took time.Duration) {
	s.nanos.Add(uint64(max(took, 0)))
	s.ops.Add(uint64(ops))
	s.commits[place(commitBounds, took.Seconds())].Add(1)
	s.groups[place(groupBounds, float64(ops))].Add(1)
}

// came counts a state that the table came into.
func (s *tableStats) came(into messages.TableState) { s.became[int(into)%len(s.became)].Add(1) }

// place is the index of the first bound that is not smaller than value.
func place(bounds []float64, value float64) int {
	i, _ := slices.BinarySearch(bounds, value)
	return i
}

func (s *tableStats) read(table string) TableStats {
	stats := TableStats{Table: table, Became: make(map[messages.TableState]uint64)}
	stats.CommitSeconds = histogramOf(commitBounds, s.commits[:], float64(s.nanos.Load())/1e9)
	stats.GroupOperations = histogramOf(groupBounds, s.groups[:], float64(s.ops.Load()))
	for i := range s.became {
		if _, known := messages.TableState_name[int32(i)]; known && i != 0 {
			stats.Became[messages.TableState(i)] = s.became[i].Load()
		}
	}
	return stats
}

func histogramOf(bounds []float64, numbers []atomic.Uint64, sum float64) Histogram {
	h := Histogram{Bounds: bounds, Sum: sum}
	for i := range numbers {
		h.Count += numbers[i].Load()
		if i < len(bounds) {
			h.Counts = append(h.Counts, h.Count)
		}
	}
	return h
}
