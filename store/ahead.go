package store

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// What a group's operations replace is most of what an exact table's commit costs. While the group is made nobody else
// writes, so the keys may be read together, before the first operation: in their order, by iterators whose filters tell
// of the last level too that a key is not there, and on several processors.

const (
	// leastAhead is the fewest keys that are worth an iterator.
	leastAhead = 8
	// mostAhead is how many goroutines read at most, and claimAhead how many keys one of them takes at a time.
	mostAhead  = 4
	claimAhead = 8
)

// prior is what a key held before the group, as far as the sums need it.
type prior struct {
	found       bool
	bytes       uint64 // of key and value
	fingerprint uint64
}

// Counts tells whether each operation reads what it replaces.
func (g *Group) Counts() bool { return g.counts }

// ReadAhead reads what the keys of operations that follow hold, if the group counts; Ahead says which is whose. It is called
// before the first operation. progress, unless nil, is called now and then.
func (g *Group) ReadAhead(keys [][]byte, progress func()) error {
	if !g.counts || len(keys) < leastAhead {
		return nil
	}
	g.ahead = slices.Grow(g.ahead[:0], len(keys))[:len(keys)]
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(keys[a], keys[b]) })
	var next atomic.Int64
	claim := func() []int {
		from := min(int(next.Add(claimAhead))-claimAhead, len(order))
		return order[from:min(from+claimAhead, len(order))]
	}
	readers := max(1, min(runtime.GOMAXPROCS(0), mostAhead, len(keys)/claimAhead))
	errs := make([]error, readers)
	var group sync.WaitGroup
	for i := range readers - 1 {
		group.Go(func() { errs[i] = g.readPriors(keys, &g.s.fingerprinters[i], claim, nil) })
	}
	errs[readers-1] = g.readPriors(keys, &g.s.fingerprint, claim, progress)
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		g.ahead = g.ahead[:0]
		return fmt.Errorf("read ahead: %w", err)
	}
	return nil
}

// readPriors reads the keys that it claims, until there are none.
func (g *Group) readPriors(keys [][]byte, f *Fingerprinter, claim func() []int, progress func()) (err error) {
	defer func() {
		if r := recover(); r != nil { // it may be on a goroutine that nobody else guards
			err = panicked(r)
		}
	}()
	iter, err := g.s.db.NewIter(&pebble.IterOptions{UseL6Filters: true, LowerBound: userKey(nil, nil)})
	if err != nil {
		return g.s.readError(err)
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	var buf []byte
	for claimed := claim(); len(claimed) > 0; claimed = claim() {
		for _, i := range claimed {
			key := keys[i]
			buf = userKey(buf[:0], key)
			g.ahead[i] = prior{}
			if !iter.SeekPrefixGE(buf) {
				if err := iter.Error(); err != nil {
					return fmt.Errorf("key %q: %w", key, g.s.readError(err))
				}
				continue
			}
			if !bytes.Equal(iter.Key(), buf) {
				continue
			}
			value, err := iter.ValueAndErr()
			if err != nil {
				return fmt.Errorf("key %q: %w", key, g.s.readError(err))
			}
			g.ahead[i] = priorOf(f, key, value)
		}
		if progress != nil {
			progress()
		}
	}
	return nil
}

// Ahead says that the next operation's key is the i-th of those that were read ahead.
func (g *Group) Ahead(i int) {
	if i < len(g.ahead) {
		g.known = &g.ahead[i]
	}
}

// prior reads what a key holds in the database.
func (s *Store) prior(key []byte) (prior, error) {
	buf := keyBuffers.Get().(*[]byte)
	defer keyBuffers.Put(buf)
	*buf = userKey((*buf)[:0], key)
	value, closer, err := s.db.Get(*buf)
	if errors.Is(err, pebble.ErrNotFound) {
		return prior{}, nil
	}
	if err != nil {
		return prior{}, fmt.Errorf("read key %q: %w", key, s.readError(err))
	}
	return priorOf(&s.fingerprint, key, value), closer.Close()
}

func priorOf(f *Fingerprinter, key, value []byte) prior {
	return prior{found: true, bytes: uint64(len(key) + len(value)), fingerprint: f.Row(key, value)}
}
