package store

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/gabiondb/gabion/messages"
)

// Sums is what is counted of a table's rows. Each is modulo 2^64, and so is what a group adds to it.
type Sums struct {
	// Count is the number of rows, LiveBytes the length of their keys and values.
	Count, LiveBytes, Fingerprint uint64
}

// Label makes the sums those of a record.
func (s Sums) Label(r *messages.TableRecord) {
	r.Count, r.LiveBytes, r.Fingerprint = s.Count, s.LiveBytes, s.Fingerprint
}

func (s Sums) plus(o Sums) Sums {
	return Sums{Count: s.Count + o.Count, LiveBytes: s.LiveBytes + o.LiveBytes, Fingerprint: s.Fingerprint + o.Fingerprint}
}

func sumsOf(r *messages.TableRecord) Sums {
	return Sums{Count: r.GetCount(), LiveBytes: r.GetLiveBytes(), Fingerprint: r.GetFingerprint()}
}

// accounting is how a store keeps the sums in its record. A table that is exact reads what each operation
// replaces, and adds the difference. A table that is at_cut reads nothing: its record keeps the sums of the last
// scan. One that was at_cut and becomes exact reads what its operations replace, too. Its record stays at_cut
// until the rows that it was opened with are counted; both together make the record of the next group exact.
// A crash before leaves a table that is at_cut, and the next open counts anew.
type accounting struct {
	// mode is what the table's groups are to be; its record may not be there yet.
	mode messages.Accounting
	// recount is nil unless the table was at_cut when it was opened, and becomes exact.
	recount *recount
	// scanned is what a scan found that no record has yet.
	scanned atomic.Pointer[Sums]
	// changed is what the groups since the open did. Owned by the committer, unused without a recount.
	changed Sums
}

// recount is one scan of a table, as it was opened.
type recount struct {
	snapshot *Snapshot
	// found is nil until the scan has ended.
	found  atomic.Pointer[Sums]
	failed atomic.Bool
}

// startAccounting is called before the store's first group: the snapshot must be of what its record is.
func (s *Store) startAccounting(mode messages.Accounting) {
	s.accounting.mode = mode
	if isAtCut(s.Record()) && mode != messages.Accounting_ACCOUNTING_AT_CUT {
		s.accounting.recount = &recount{snapshot: s.snapshot()}
	}
}

func isAtCut(r *messages.TableRecord) bool {
	return r.GetAccounting() == messages.Accounting_ACCOUNTING_AT_CUT
}

// Recounts tells whether the table was at_cut and becomes exact: Recount is to be called.
func (s *Store) Recounts() bool { return s.accounting.recount != nil }

// Recount counts the rows that the table was opened with, for the record of the next group, or of one without
// operations, to be exact. It lasts, and may be called once, on any goroutine; groups go on beside it. It returns an
// error that matches ErrClosed when the store closes. After any error the table stays at_cut until
// it is opened again.
func (s *Store) Recount() error {
	r := s.accounting.recount
	if r == nil {
		return nil
	}
	found, err := r.snapshot.Sums(1, nil)
	if err := errors.Join(err, r.snapshot.Close()); err != nil {
		r.failed.Store(true)
		return fmt.Errorf("recount: %w", err)
	}
	r.found.Store(&found)
	return nil
}

// Estimate gives what a scan of the table has found to the record of the next group, or of one without operations. It
// returns false when the record has these sums already: a record that is written anew would only change the sstables.
// It does nothing to a table that is exact.
func (s *Store) Estimate(found Sums) bool {
	if sumsOf(s.Record()) == found {
		s.accounting.scanned.Store(nil) // what an older scan found is no longer true
		return false
	}
	s.accounting.scanned.Store(&found)
	return true
}

// counts tells whether the next group reads what it replaces.
func (a *accounting) counts() bool {
	if a.mode == messages.Accounting_ACCOUNTING_AT_CUT {
		return false
	}
	return a.recount == nil || !a.recount.failed.Load()
}

// owes tells whether a group has something new to put into the record of its table, be it without operations.
func (a *accounting) owes(g *Group) bool {
	return isAtCut(g.next) && (a.scanned.Load() != nil || g.counts && a.recount.found.Load() != nil)
}

// settle gives the group's record its sums, and says what they are.
func (a *accounting) settle(g *Group) {
	if g.counts && !isAtCut(g.next) {
		sumsOf(g.next).plus(g.changed).Label(g.next)
		return
	}
	if g.counts {
		a.changed = a.changed.plus(g.changed)
		if found := a.recount.found.Load(); found != nil {
			found.plus(a.changed).Label(g.next)
			g.next.Accounting = messages.Accounting_ACCOUNTING_EXACT
			return
		}
	}
	g.next.Accounting = messages.Accounting_ACCOUNTING_AT_CUT
	if found := a.scanned.Swap(nil); found != nil {
		found.Label(g.next)
	}
}
