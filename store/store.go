package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// Store is one table's open lineage. Begin, Apply and Cut belong to one goroutine at a time, the
// committer; everything else may be called from any goroutine.
type Store struct {
	dir    *Directory
	table  string
	path   string // of the lineage
	place  *Place // of path; nil where the store does not lie in DIR
	logger *slog.Logger
	db     *pebble.DB
	fs     *freezer // nil when read-only
	mark   *mark    // nil when read-only
	handle *handle
	// onCorruption is that of OpenOptions.
	onCorruption func(err error)
	// own is what the store shares with no other, and closes; nil where it is its directory's.
	own *shared
	// snapshots are closed after the handle is drained and before the database.
	snapshots snapshots
	// incarnation is what the first group raises the record's to.
	incarnation uint64

	// record is the table's record after the newest applied group. It is replaced, never changed.
	record atomic.Pointer[messages.TableRecord]
	// acked is the highest seq that passed the acknowledgement gate.
	acked      atomic.Uint64
	accounting accounting
	// lent is set once a cut had files on loan.
	lent atomic.Bool

	// Owned by the committer.
	dirty       bool // the mark no longer says clean
	fingerprint Fingerprinter
	// fingerprinters are those of the goroutines that read ahead for it.
	fingerprinters [mostAhead - 1]Fingerprinter
	marshalled     []byte
	spare          *Group
}

// Lineage is the lineage the store serves.
func (s *Store) Lineage() string { return s.Record().GetPosition().GetLineage() }

// Record is the table's record after the newest applied group, durable or not. It must not be changed.
func (s *Store) Record() *messages.TableRecord { return s.record.Load() }

// Acked is the highest seq whose group is durable.
func (s *Store) Acked() uint64 { return s.acked.Load() }

// ReadOnly tells whether the store takes no writes: Begin and Cut must not be called.
func (s *Store) ReadOnly() bool { return s.fs == nil }

// Frozen tells whether the store may no longer acknowledge.
func (s *Store) Frozen() bool { return s.fs != nil && s.fs.frozen.Load() }

// FrozenBy returns what froze the store, nil when it is not frozen.
func (s *Store) FrozenBy() error {
	if s.fs == nil {
		return nil
	}
	return s.fs.why()
}

// Check returns an error that matches ErrReplaced, and freezes the store, when somebody has moved, removed or replaced its
// directory: no later start would find what is written there. Any other error says that this cannot be known. It asks the
// disk.
func (s *Store) Check() error {
	err := s.place.Check()
	if !errors.Is(err, ErrReplaced) {
		return err
	}
	s.Freeze(err)
	return messages.WithHint(err, "put the directory back, or restore the table from a backup")
}

// Freeze stops every change of the table's disk, as a crash would. It is called with what a
// goroutine that worked on the store panicked with.
func (s *Store) Freeze(cause error) {
	if s.fs != nil {
		s.fs.freeze(cause)
	}
}

// Get returns a copy of key's value, which may not be durable yet. found is false when there is none.
func (s *Store) Get(key []byte) (value []byte, found bool, err error) {
	if !s.handle.enter() {
		return nil, false, ErrClosed
	}
	defer s.handle.leave()
	defer func() {
		if r := recover(); r != nil { // a read runs on its caller's goroutine
			err = panicked(r)
		}
	}()
	return s.get(s.db, key)
}

// keyBuffers are for the keys that Pebble is asked for: it takes them for kept, so that each would be an allocation.
var keyBuffers = sync.Pool{New: func() any { return new([]byte) }}

// get reads key from the database or a snapshot of it. The handle must be entered.
func (s *Store) get(from pebble.Reader, key []byte) (value []byte, found bool, err error) {
	buf := keyBuffers.Get().(*[]byte)
	defer keyBuffers.Put(buf)
	*buf = userKey((*buf)[:0], key)
	data, closer, err := from.Get(*buf)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read key %q: %w", key, s.readError(err))
	}
	value = make([]byte, len(data))
	copy(value, data)
	return value, true, closer.Close()
}

// Flush writes the memtable to sstables and begins a new WAL file, so that a cut that follows has little WAL to
// copy.
func (s *Store) Flush() error {
	if !s.handle.enter() {
		return ErrClosed
	}
	defer s.handle.leave()
	if s.fs != nil {
		s.fs.fresh.Store(true)
		defer s.fs.fresh.Store(false)
	}
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("flush table %s: %w", s.table, err)
	}
	return nil
}

// Close waits for the uses of the store to end and closes it. A store that is not frozen is flushed and
// its mark stamped clean, so that the next open needs no read-only look first. Pages that
// are being read are told to stop; snapshots that nobody reads are closed. Close must be called once.
func (s *Store) Close() error {
	s.handle.drain()
	var errs []error
	// Before the database, whose Close takes an open one for a leak.
	if err := s.snapshots.closeAll(); err != nil {
		errs = append(errs, fmt.Errorf("close snapshots: %w", err))
	}
	if s.fs == nil {
		errs = append(errs, closeDB(s.db))
		if s.own != nil {
			errs = append(errs, s.own.close())
		}
		return errors.Join(errs...)
	}
	// A flush of an empty memtable is free of charge; after a clean open nothing is in it.
	if s.dirty && !s.Frozen() {
		if err := s.db.Flush(); err != nil {
			errs = append(errs, fmt.Errorf("flush: %w", err))
		}
	}
	if err := closeDB(s.db); err != nil {
		errs = append(errs, fmt.Errorf("close database: %w", err))
	}
	if s.dirty && !s.Frozen() && len(errs) == 0 {
		// A crash before the stamp is durable is an unclean stop, which the next open looks into.
		if err := s.mark.stamp(s.acked.Load(), true); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, s.mark.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close table %s: %w", s.table, err)
	}
	return nil
}

// closeDB closes db; Pebble panics where it finds itself in a state it did not expect.
func closeDB(db *pebble.DB) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicked(r)
		}
	}()
	return db.Close()
}

// panicked makes an error of what Pebble panicked with.
func panicked(r any) error {
	if err, ok := r.(error); ok {
		return fmt.Errorf("pebble panicked: %w", err)
	}
	return fmt.Errorf("pebble panicked: %v", r)
}

// setRecord replaces the record.
func (s *Store) setRecord(r *messages.TableRecord) { s.record.Store(r) }

func cloneRecord(r *messages.TableRecord) *messages.TableRecord {
	return proto.CloneOf(r)
}

// successor is a clone of r for the next group, made without reflection. What a newer version has put into r is kept.
func successor(r *messages.TableRecord) *messages.TableRecord {
	p := r.GetPosition()
	if p == nil || len(r.ProtoReflect().GetUnknown())+len(p.ProtoReflect().GetUnknown()) > 0 {
		return cloneRecord(r)
	}
	return &messages.TableRecord{
		FormatVersion: r.GetFormatVersion(),
		Table:         r.GetTable(),
		Position:      &messages.Position{Lineage: p.GetLineage(), Incarnation: p.GetIncarnation(), Seq: p.GetSeq()},
		Parent:        r.GetParent(), // of no record changed
		Accounting:    r.GetAccounting(),
		Count:         r.GetCount(),
		LiveBytes:     r.GetLiveBytes(),
		Fingerprint:   r.GetFingerprint(),
		Created:       r.GetCreated(),
		Committed:     r.GetCommitted(),
		SchemaVersion: r.GetSchemaVersion(),
	}
}
