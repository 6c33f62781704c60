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
	descriptorSlack = 4       // of sstables: their number depends on which compactions were last
	heapSlack       = 1 << 20 // memtables are as full as they are; pools keep what they had at their most
)

// sample is what the process holds at a quiet point: all tables open, no fault, no run, no load.
type sample struct {
	at          time.Duration
	goroutines  int
	descriptors int // open, with those of sstables
	sstables    int
	heap        uint64 // in use after two collections, the second of which ends what finalizers held
}

// takeSample takes the least of several looks.
func takeSample(t *testing.T, at time.Duration) sample {
	least := sample{at: at}
	for i := range 5 {
		<-time.After(20 * time.Millisecond)
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		all, sstables := descriptors(t)
		if i == 0 {
			least = sample{at, runtime.NumGoroutine(), all, sstables, m.HeapAlloc}
			continue
		}
		least.goroutines = min(least.goroutines, runtime.NumGoroutine())
		least.descriptors, least.sstables = min(least.descriptors, all), min(least.sstables, sstables)
		least.heap = min(least.heap, m.HeapAlloc)
	}
	return least
}

// descriptors counts the open ones of this process, and those of sstables.
func descriptors(t *testing.T) (all, sstables int) {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		// That of the directory itself is closed by now.
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			all++
			if strings.Contains(to, ".sst") {
				sstables++
			}
		}
	}
	return all, sstables
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
		least.at = s.at
		least.goroutines = min(least.goroutines, s.goroutines)
		least.descriptors, least.sstables = min(least.descriptors, s.descriptors), min(least.sstables, s.sstables)
		least.heap = min(least.heap, s.heap)
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
		t.Logf("the least of %d and %d samples around %v and %v: goroutines %d, %d; descriptors %d, %d (of sstables %d, %d); heap %d KiB, %d KiB",
			nFirst, n, early, to, first.goroutines, later.goroutines, first.descriptors, later.descriptors, first.sstables, later.sstables,
			first.heap>>10, later.heap>>10)
		for _, grown := range []struct {
			what               string
			before, now, slack uint64
		}{
			{"goroutines", uint64(first.goroutines), uint64(later.goroutines), goroutineSlack},
			{"descriptors", uint64(first.descriptors), uint64(later.descriptors), descriptorSlack},
			{"bytes of heap", first.heap, later.heap, heapSlack},
		} {
			if most := grown.before + grown.before/soakShare + grown.slack; grown.now > most {
				t.Errorf("%d %s around %v, there were %d around %v; at most %d may be", grown.now, grown.what, to, grown.before, early, most)
			}
		}
	}
}
