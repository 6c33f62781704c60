//go:build soak

package test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What a later sample may have more than an earlier one: 5 %, and what comes and goes at rest. One leak in each restart is
// above it, with as many restarts as a soak has.
const (
	soakShare       = 20      // one part of so many
	goroutineSlack  = 2       // a timer or a courier that has not ended
	descriptorSlack = 1       // one that is being opened or closed
	sstableSlack    = 8       // which compactions were last decides how many live; the data set is bounded, and so are they
	heapSlack       = 1 << 20 // memtables are as full as they are; pools keep what they had at their most
	registrySlack   = 4 << 10 // for each restart; see below
	processSlack    = 16      // pooled waits: as many as callers waited at once
)

// proto.actor's registry has 32,768 maps, and each keeps its first room once it has held a process: each restart, whose
// processes have new names, costs some 4 KiB of heap, until all have it. What is registered is counted apart.

// sample is what the process holds at a quiet point: all tables open, no fault, no run, no load.
type sample struct {
	at          time.Duration
	restarts    int // so far
	goroutines  int
	descriptors int // open, without those of sstables
	sstables    int
	processes   int    // registered in the actor system
	heap        uint64 // in use after two collections, the second of which ends what finalizers held
}

// least is the smaller one of each.
func (s sample) least(o sample) sample {
	o.goroutines, o.heap = min(s.goroutines, o.goroutines), min(s.heap, o.heap)
	o.descriptors, o.sstables = min(s.descriptors, o.descriptors), min(s.sstables, o.sstables)
	o.processes = min(s.processes, o.processes)
	return o
}

// takeSample takes the least of several looks.
func (s *soak) takeSample() (least sample) {
	for i := range 5 {
		<-time.After(20 * time.Millisecond)
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now := sample{at: time.Since(s.began), goroutines: runtime.NumGoroutine(), heap: m.HeapAlloc}
		now.descriptors, now.sstables = descriptors(s.t)
		for _, part := range s.system.ProcessRegistry.LocalPIDs.LocalPIDs {
			now.processes += part.Count()
		}
		if i == 0 {
			least = now
		}
		least = least.least(now)
	}
	s.count(func(c *soakCounts) { least.restarts = c.restarts })
	return least
}

// descriptors counts the open ones of this process, those of sstables apart.
func descriptors(t *testing.T) (others, sstables int) {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		// That of the directory itself is closed by now.
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			if strings.Contains(to, ".sst") {
				sstables++
			} else {
				others++
			}
		}
	}
	return others, sstables
}

// leastOf is the least of the samples between two times. Their number is returned, too.
func leastOf(samples []sample, from, to time.Duration) (least sample, n int) {
	for _, s := range samples {
		if s.at < from || s.at > to {
			continue
		}
		if n++; n == 1 {
			least = s
		}
		least = least.least(s)
	}
	return least, n
}

// compareSamples holds minute 10 and the end against minute 3; where the soak is shorter, the end against the time at 30 %.
func compareSamples(t *testing.T, samples []sample, lasts time.Duration) {
	early, late := 3*time.Minute, 10*time.Minute
	if lasts < late {
		early, late = lasts*3/10, lasts
		t.Logf("shorter than 10 minutes: the end is held against %v, in place of minute 10 against minute 3", early)
	}
	first, nFirst := leastOf(samples, early*8/10, early*12/10)
	if nFirst == 0 {
		t.Fatalf("no quiet point around %v", early)
	}
	ends := []time.Duration{late}
	if lasts > late {
		ends = append(ends, lasts)
	}
	for _, to := range ends {
		later, n := leastOf(samples, to*85/100, to+time.Minute)
		if n == 0 {
			t.Fatalf("no quiet point around %v", to)
		}
		t.Logf("the least of %d and %d samples around %v and %v: goroutines %d, %d; descriptors %d, %d, and of sstables %d, %d; "+
			"registered processes %d, %d; heap %d KiB, %d KiB", nFirst, n, early, to, first.goroutines, later.goroutines,
			first.descriptors, later.descriptors, first.sstables, later.sstables, first.processes, later.processes,
			first.heap>>10, later.heap>>10)
		restarts := later.restarts - first.restarts
		for _, grown := range []struct {
			what               string
			before, now, slack int
		}{
			{"goroutines", first.goroutines, later.goroutines, goroutineSlack},
			{"descriptors", first.descriptors, later.descriptors, descriptorSlack},
			{"descriptors of sstables", first.sstables, later.sstables, sstableSlack},
			{"registered processes", first.processes, later.processes, processSlack},
			{"bytes of heap", int(first.heap), int(later.heap), heapSlack + restarts*registrySlack},
		} {
			if most := grown.before + grown.before/soakShare + grown.slack; grown.now > most {
				t.Errorf("%d %s around %v, there were %d around %v; at most %d may be", grown.now, grown.what, to, grown.before, early, most)
			}
		}
	}
}
