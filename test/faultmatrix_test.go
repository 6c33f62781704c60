package test

import (
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// matrixSize is how many cells are run: a number, or "full" for all.
	matrixSize = "GABION_MATRIX"
	// matrixSeed says which cells, and which bits are turned.
	matrixSeed = "GABION_MATRIX_SEED"
	// usualCells is the size without the variable.
	usualCells = 150
	// cellsAtOnce is how many run side by side. Most of them wait, for a back-off.
	cellsAtOnce = 6
)

// TestFaultMatrix breaks the disk of one of three tables: each kind of fault, on each kind of file and call, in each phase
// of the table's life, once, later or until healed. After each of them the others have answered all that they
// were asked, each request was answered once, and the table is back with all that it acknowledged, or, only where
// its one copy was damaged, has refused to serve and said what is lost.
//
// It runs cells that are spread evenly over the matrix. All of them, some minutes:
//
//	GABION_MATRIX=full go test ./test -run TestFaultMatrix -v -timeout 30m
//
// One of them: GABION_MATRIX_SEED=N go test ./test -run 'TestFaultMatrix/NAME'. The calls of a phase vary a little, and
// with them which cells a seed picks; a name is always the same.
func TestFaultMatrix(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(matrixSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", matrixSeed, err)
		}
	}
	images := matrixImages{newMatrixImage(t, false), newMatrixImage(t, true)}
	t.Logf("repeat with %s=%d", matrixSeed, seed)
	least, most := record(t, images)
	listed := checkAbsences(t, most)
	all := cells(least)
	picked := pick(t, all, seed)

	var count tally
	work := make(chan cell)
	var wg sync.WaitGroup
	for range cellsAtOnce {
		wg.Go(func() {
			for c := range work {
				t.Run(c.name(), func(t *testing.T) { count.add(c.run(t, images, seed)) })
			}
		})
	}
	for _, c := range picked {
		work <- c
	}
	close(work)
	wg.Wait()
	t.Logf("%d of %d cells run, %d fired; %d combinations of fault, file and phase of %d listed as impossible",
		count.ran, len(all), count.fired, listed, len(faultKinds)*len(fileKinds)*len(phases))
	t.Logf("tables reopened %d times, %d cells quarantined until retried; losses named with their range %d, damage named %d; Fatalf called %d times",
		count.restarts, count.retried, count.ranges, count.damages, count.fatal)
}

// anchors are always run: what they guard must not depend on the seed.
var anchors = []string{
	"EIO_of_WAL_sync_in_commit_first",              // an acknowledgement needs a store that is not frozen
	"EIO_of_MANIFEST_write_in_flush_first",         // as does all that Pebble would end the process for
	"EIO_of_staging_create_in_cut_nth",             // errors elsewhere freeze nothing: this is of a MANIFEST
	"EIO_of_staging_sync_in_cut_nth",               // and so is this
	"EIO_of_backup_write_in_publish_every",         // nor does this
	"ENOSPC_of_sstable_write_in_flush_every",       // Pebble would try it again without a pause
	"bit-flip_of_WAL_write_in_commit_first",        // the high-water mark sees what is gone
	"bit-flip_of_MANIFEST_write_in_open_first",     // Pebble takes it for the end of the MANIFEST
	"bit-flip_of_high-water_write_in_commit_every", // is no loss
}

// pick returns the cells to run: all that -run may name, or a sample of them.
func pick(t *testing.T, all []cell, seed uint64) []cell {
	size := usualCells
	switch text := os.Getenv(matrixSize); text {
	case "":
	case "full":
		size = len(all)
	default:
		var err error
		if size, err = strconv.Atoi(text); err != nil || size < 1 {
			t.Fatalf("%s is %q, want a number or full", matrixSize, text)
		}
	}
	named := strings.Contains(flag.Lookup("test.run").Value.String(), "/")
	var picked []cell
	missing := slices.Clone(anchors)
	start := int(seed % uint64(len(all)))
	for i, c := range all {
		// size of them, at even distances, from start on.
		at := (i + start) % len(all)
		sampled := (at+1)*size/len(all) > at*size/len(all)
		if j := slices.Index(missing, c.name()); j >= 0 {
			missing = slices.Delete(missing, j, j+1)
			sampled = true
		}
		if sampled || named {
			picked = append(picked, c)
		}
	}
	if len(missing) > 0 {
		t.Errorf("no such cells: %q", missing)
	}
	return picked
}

// tally adds up the outcomes.
type tally struct {
	mu                                                    sync.Mutex
	ran, fired, restarts, retried, ranges, damages, fatal int
}

func (c *tally) add(o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ran++
	if o.fired {
		c.fired++
	}
	if o.retried {
		c.retried++
	}
	c.restarts += int(o.restarts)
	c.ranges += o.ranges
	c.damages += o.damages
	c.fatal += o.fatal
}
