package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gabiondb/gabion/messages"
)

const (
	// progressRows and progressBytes are after how much a scan reports its progress: every few blocks, since each may
	// be a read of a slow disk.
	progressRows  = 100
	progressBytes = 32 << 10
	// stretchBytes is how much of the sstables a goroutine counts at a time, at least.
	stretchBytes = 4 << 20
)

// Sums counts the rows of the snapshot, by up to so many goroutines, each a stretch of keys at a time; 0 is as 1, on the calling
// goroutine. progress, unless nil, is called once for every 100 rows or 32 KiB, and at the end of a stretch, by one goroutine at a
// time; an error that it returns ends the scan. It returns ErrClosed when the store is closed, or closes meanwhile.
func (n *Snapshot) Sums(workers int, progress func() error) (Sums, error) {
	stretches := []*messages.Scan{{}}
	if workers > 1 {
		var err error
		if stretches, err = n.s.stretches(); err != nil {
			return Sums{}, fmt.Errorf("count rows: %w", err)
		}
	}
	var mu sync.Mutex // held to tell progress, and to add up
	tell := func() error {
		mu.Lock()
		defer mu.Unlock()
		if progress == nil {
			return nil
		}
		return progress()
	}
	var all Sums
	err := Parallel(workers, len(stretches), func(_, i int) error {
		sums, err := n.sums(stretches[i], tell)
		mu.Lock()
		defer mu.Unlock()
		all = all.plus(sums)
		return err
	})
	if err != nil {
		return Sums{}, fmt.Errorf("count rows: %w", err)
	}
	return all, nil
}

// sums counts the rows of a scan.
func (n *Snapshot) sums(scan *messages.Scan, progress func() error) (Sums, error) {
	var sums Sums
	var fingerprint Fingerprinter
	var stopped error
	rows, bytes := 0, 0
	err := n.walk(scan, func(key, value []byte) bool {
		size := len(key) + len(value)
		sums.Count++
		sums.LiveBytes += uint64(size)
		sums.Fingerprint += fingerprint.Row(key, value)
		rows, bytes = rows+1, bytes+size
		if rows >= progressRows || bytes >= progressBytes {
			rows, bytes = 0, 0
			stopped = progress()
		}
		return stopped == nil
	})
	if err == nil && stopped == nil {
		stopped = progress()
	}
	return sums, errors.Join(err, stopped)
}

// stretches divides all keys at some of those with which sstables begin: between two of them lie about stretchBytes. A table that
// changes meanwhile has other sstables than its snapshot; the stretches still hold every key once.
func (s *Store) stretches() ([]*messages.Scan, error) {
	tables, err := s.listSSTables()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(tables, func(a, b pebble.SSTableInfo) int { return bytes.Compare(a.Smallest.UserKey, b.Smallest.UserKey) })
	all := []*messages.Scan{{}}
	var size uint64
	for _, t := range tables {
		first, isRow := bytes.CutPrefix(t.Smallest.UserKey, userKey(nil, nil))
		if last := all[len(all)-1]; isRow && size >= stretchBytes && !bytes.Equal(last.GetStart(), first) {
			last.End = first
			all = append(all, &messages.Scan{Start: first})
			size = 0
		}
		size += t.Size
	}
	return all, nil
}
