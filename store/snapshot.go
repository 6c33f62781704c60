package store

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gabiondb/gabion/messages"
)

// Snapshot is the table at one instant. A store that closes closes those that are open, so that nobody has to wait
// for who holds one; close it soon all the same, it keeps what was deleted since from being removed.
type Snapshot struct {
	s    *Store
	snap *pebble.Snapshot
}

// snapshots are the open snapshots of one database.
type snapshots struct {
	mu   sync.Mutex
	open map[*Snapshot]struct{}
}

// Snapshot captures the table as it is now, durable or not.
func (s *Store) Snapshot() (*Snapshot, error) {
	if !s.handle.enter() {
		return nil, ErrClosed
	}
	defer s.handle.leave()
	return s.snapshot(), nil
}

// snapshot is Snapshot of a store that is entered, or not yet anybody else's.
func (s *Store) snapshot() *Snapshot {
	n := &Snapshot{s: s, snap: s.db.NewSnapshot()}
	s.snapshots.add(n)
	return n
}

// Snapshots is how many snapshots are open.
func (s *Store) Snapshots() int {
	s.snapshots.mu.Lock()
	defer s.snapshots.mu.Unlock()
	return len(s.snapshots.open)
}

func (o *snapshots) add(n *Snapshot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open == nil {
		o.open = make(map[*Snapshot]struct{})
	}
	o.open[n] = struct{}{}
}

// close closes n, unless the store has done so.
func (o *snapshots) close(n *Snapshot) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.open[n]; !ok {
		return nil
	}
	delete(o.open, n)
	return n.snap.Close()
}

// closeAll closes what is open. The handle must be drained: no page is being read, and none will be.
func (o *snapshots) closeAll() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for n := range o.open {
		errs = append(errs, n.snap.Close())
	}
	o.open = nil
	return errors.Join(errs...)
}

// Close releases the snapshot, also where its store is closed. It must be called once, and not during a Page.
func (n *Snapshot) Close() error { return n.s.snapshots.close(n) }

// Page reads the page that answers scan. It returns ErrClosed when the store is closed, or closes meanwhile.
func (n *Snapshot) Page(scan *messages.Scan) (*messages.Page, error) {
	page := &messages.Page{}
	limit := int(scan.GetLimit())
	size := 0
	err := n.walk(scan, func(key, value []byte) bool {
		full := limit > 0 && len(page.Entries) == limit
		if full || len(page.Entries) > 0 && size+len(key)+len(value) > messages.MaxPage {
			page.Next = next(page.Entries[len(page.Entries)-1].GetKey(), key, scan.GetReverse())
			return false
		}
		size += len(key) + len(value)
		page.Entries = append(page.Entries, &messages.Entry{Key: bytes.Clone(key), Value: bytes.Clone(value)})
		return true
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// next is where the page after the one that ends with last goes on: the first key of it, as the next start; or
// last, as the next end, which is exclusive.
func next(last, following []byte, reverse bool) []byte {
	if reverse {
		return last
	}
	return bytes.Clone(following)
}

// walk calls each with the entries of scan, in its order, until it returns false. The slices are valid
// during the call only.
func (n *Snapshot) walk(scan *messages.Scan, each func(key, value []byte) bool) (err error) {
	if !n.s.handle.enter() {
		return ErrClosed
	}
	defer n.s.handle.leave()
	defer func() {
		if r := recover(); r != nil { // a page is read on its caller's goroutine
			err = panicked(r)
		}
	}()
	lower, upper := bounds(scan)
	if bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	iter, err := n.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("scan: %w", n.s.readError(err))
	}
	first, step := iter.First, iter.Next
	if scan.GetReverse() {
		first, step = iter.Last, iter.Prev
	}
	for valid := first(); valid; valid = step() {
		select {
		case <-n.s.handle.stop:
			return errors.Join(ErrClosed, iter.Close())
		default:
		}
		value, err := iter.ValueAndErr()
		if err != nil {
			return errors.Join(fmt.Errorf("scan: %w", n.s.readError(err)), iter.Close())
		}
		if !each(iter.Key()[1:], value) {
			break
		}
	}
	if err := errors.Join(iter.Error(), iter.Close()); err != nil {
		return fmt.Errorf("scan: %w", n.s.readError(err))
	}
	return nil
}

// bounds are the database keys, half-open, that scan's start, end and prefix leave.
func bounds(scan *messages.Scan) (lower, upper []byte) {
	lower, upper = userKey(nil, scan.GetStart()), userEnd
	if len(scan.GetEnd()) > 0 {
		upper = userKey(nil, scan.GetEnd())
	}
	if prefix := scan.GetPrefix(); len(prefix) > 0 {
		lower = later(lower, userKey(nil, prefix))
		upper = earlier(upper, afterPrefix(userKey(nil, prefix)))
	}
	return lower, upper
}

// afterPrefix is the first key after all that begin with prefix. The user prefix byte is never 0xff, so
// there is one.
func afterPrefix(prefix []byte) []byte {
	after := bytes.Clone(prefix)
	for i := len(after) - 1; i >= 0; i-- {
		after[i]++
		if after[i] != 0 {
			return after[:i+1]
		}
	}
	return userEnd
}

func later(a, b []byte) []byte {
	if bytes.Compare(a, b) > 0 {
		return a
	}
	return b
}

func earlier(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return a
	}
	return b
}
