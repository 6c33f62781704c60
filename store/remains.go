package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// Remains is what can be read of a table's files where they are, and nobody serves. Nothing there is changed, as with
// OpenReadOnly. A WAL counts up to its damage. The WALs behind it count too, as long as no operation is missing in
// between. In a damaged sstable each block counts that is not damaged itself.
type Remains struct {
	// Record is the newest record that can be read. Its position is zero where none can, and its sums are those of the record
	// unless Proven says that they are those of the rows.
	Record *messages.TableRecord
	// Reached is the highest seq that is known to have been committed. Record, the mark, or a WAL behind its damage name
	// it. Operations above Record's seq are not in the remains.
	Reached uint64
	// Damage names what is damaged, in words; without any, the files open as they are.
	Damage []string
	// Holes are the ranges of keys whose rows cannot be read, or may be out of date, in order. Proven fills them with the rows of
	// a backup, where that has those which the record counted.
	Holes []Hole
	// Sums are those of the rows that can be read, zero unless they were counted.
	Sums Sums
	// Proven says that the rows were counted, and are those that Record speaks of.
	Proven bool

	fs      vfs.FS // the one below the view
	view    *view
	path    string
	table   string
	logger  *slog.Logger
	unknown bool   // no record can be read
	tail    string // where the last WAL ends, if not cleanly
	mend    *Store
}

// Hole is a range of keys of which rows are lost.
type Hole struct {
	// Start is the first key of the range, End the first one behind it. An empty End is behind all keys.
	Start, End []byte
	// File is the name of the sstable that is damaged there.
	File string

	lower, upper []byte // Start and End as keys of the database
	newest       uint64 // Pebble's number of the newest row in the file: what is above it is certain
}

// Whole tells whether the files open as they are, and reach all that is known to have been committed.
func (r *Remains) Whole() bool {
	return len(r.Damage) == 0 && r.Reached <= r.Record.GetPosition().GetSeq()
}

// Missing is how many rows less there are than the record counted; 0 also where it counted none, or the rows were not counted.
func (r *Remains) Missing() uint64 {
	if isAtCut(r.Record) || r.Sums.Count > r.Record.GetCount() {
		return 0
	}
	return r.Record.GetCount() - r.Sums.Count
}

// Reach says that a seq is known to have been committed. A WAL that ends before it did not end there by itself.
func (r *Remains) Reach(seq uint64) {
	r.Reached = max(r.Reached, seq)
	if r.tail != "" && r.Reached > r.Record.GetPosition().GetSeq() {
		r.damaged("%s", r.tail)
		r.tail = ""
	}
}

// Know gives the remains the record of the store that served them last, which may be damaged in the files. One of another
// lineage, or nil, says nothing.
func (r *Remains) Know(record *messages.TableRecord) {
	at := record.GetPosition()
	if record == nil || r.Record.GetPosition().GetLineage() != at.GetLineage() {
		return
	}
	r.Reach(at.GetSeq())
	if r.unknown {
		r.Record, r.unknown = cloneRecord(record), false
	}
}

// Examine looks at a lineage that nobody serves. With count it reads every block and every row as well: only then are damaged
// blocks seen. progress is called meanwhile; an error that it returns ends it. Where nothing can be read the error matches
// messages.ErrDataLoss.
func (d *Directory) Examine(table, lineage string, count bool, progress func() error) (*Remains, error) {
	path := d.LineagePath(table, lineage)
	r, err := Examine(d.fs, path, ReadOnlyOptions{Table: table, Logger: d.logger}, count, progress)
	if err != nil {
		return nil, err
	}
	if v, ok, err := readMark(d.fs, path+markSuffix); err != nil {
		return nil, err
	} else if ok && v.lineage == lineage {
		r.Reach(v.seq)
		if r.unknown {
			r.Record.Position.Lineage, r.Record.Position.Seq = lineage, v.seq
		}
	}
	if r.Record.GetTable() != table || !r.unknown && r.Record.GetPosition().GetLineage() != lineage {
		return nil, fmt.Errorf("directory %s holds table %q at %s: %w", path, r.Record.GetTable(),
			PositionText(r.Record.GetPosition()), messages.ErrDataLoss)
	}
	return r, nil
}

// Examine looks at the files of a table's database at path: a backup's for example, which has no mark. See Directory.Examine.
func Examine(fs vfs.FS, path string, o ReadOnlyOptions, count bool, progress func() error) (*Remains, error) {
	r := &Remains{fs: fs, view: newView(fs), path: path, table: o.Table, logger: o.Logger}
	if r.logger == nil {
		r.logger = slog.New(slog.DiscardHandler)
	}
	if progress == nil {
		progress = func() error { return nil }
	}
	err := r.bound(o.Sizes)
	if err == nil {
		err = r.examine(count, progress)
	}
	if err != nil {
		return nil, fmt.Errorf("examine %s: %w", path, err)
	}
	return r, nil
}

// bound shows no other files than those that sizes names, and none longer than it says; nil bounds nothing.
func (r *Remains) bound(sizes map[string]int64) error {
	names, err := listIfExists(r.fs, r.path)
	if err != nil || sizes == nil {
		return err
	}
	for _, name := range names {
		path := r.fs.PathJoin(r.path, name)
		size, counts := sizes[name]
		if !counts {
			r.view.hide(path)
		} else if info, err := r.fs.Stat(path); err == nil && info.Size() > size {
			r.view.cut(path, size)
			r.damaged("%s: it has %d B, and %d B belong to it", name, info.Size(), size)
		}
	}
	return nil
}

func (r *Remains) examine(count bool, progress func() error) error {
	if exists, err := Exists(r.fs, r.path); err != nil {
		return err
	} else if !exists {
		return messages.ErrNotFound
	}
	if err := r.hideOptions(); err != nil {
		return err
	}
	flushed, err := r.sstables(count, progress)
	if err != nil {
		return err
	}
	if err := r.cutWALs(flushed, progress); err != nil {
		return err
	}
	return r.read(count, progress)
}

func (r *Remains) damaged(format string, args ...any) {
	r.Damage = append(r.Damage, messages.Text(fmt.Sprintf(format, args...)))
}

// read finds the newest record, and counts the rows.
func (r *Remains) read(count bool, progress func() error) (err error) {
	s, err := r.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if r.unknown = s.Record() == nil; !r.unknown {
		r.Record = cloneRecord(s.Record())
	} else {
		r.Record = &messages.TableRecord{FormatVersion: FormatVersion, Table: r.table, Position: &messages.Position{}}
	}
	r.Reach(r.Record.GetPosition().GetSeq())
	if !count {
		return nil
	}
	if r.Sums, err = r.count(s, progress); err != nil {
		return err
	}
	switch {
	case r.unknown || len(r.Holes) > 0 && isAtCut(r.Record):
	case isAtCut(r.Record):
		// Its blocks are sound, and its record proves nothing.
		r.Sums.Label(r.Record)
		r.Proven = true
	case r.Sums == sumsOf(r.Record):
		r.Proven = true // also with holes: newer rows are in the place of those that were there
	case len(r.Holes) == 0:
		r.damaged("it holds %d rows of %d B, its record says %d of %d B", r.Sums.Count, r.Sums.LiveBytes, r.Record.GetCount(), r.Record.GetLiveBytes())
	}
	return nil
}

// Open opens the remains for reading where they are. They must have no Holes: a row that cannot be read would look as if
// it had never been there. The store must be closed.
func (r *Remains) Open() (*Store, error) {
	if len(r.Holes) > 0 || r.unknown {
		return nil, fmt.Errorf("rows of %s cannot be read: %w", r.path, messages.ErrDataLoss)
	}
	return r.open()
}

// open opens what the view shows of the files, and reads the record, which is nil where it cannot be read. Pebble goes
// on where sstables are missing.
func (r *Remains) open() (*Store, error) {
	return r.openThrough(r.view)
}

func (r *Remains) openThrough(fs vfs.FS) (*Store, error) {
	shared := &shared{
		cache:    pebble.NewCache(8 << 20),
		files:    pebble.NewFileCache(runtime.GOMAXPROCS(0), 64),
		memTable: defaultMemTableBytes,
	}
	d := &Directory{fs: unchanged{fs}, readOnly: true, logger: r.logger, shared: shared}
	db, err := d.openPebble(r.path, d.fs, nil, r.logger, func(o *pebble.Options) {
		o.ReadOnly, o.ErrorIfNotExists, o.DisableConsistencyCheck = true, true, true
	})
	if err != nil {
		if errors.Is(err, pebble.ErrDBDoesNotExist) || errors.Is(err, os.ErrNotExist) || damaged(err) || Unreadable(err) {
			err = fmt.Errorf("%w: %w", err, messages.ErrDataLoss)
		}
		return nil, errors.Join(err, shared.close())
	}
	record, err := readRecord(db)
	if err != nil && (errors.Is(err, ErrNewer) || !errors.Is(err, messages.ErrDataLoss) && !Unreadable(err)) {
		return nil, errors.Join(err, closeDB(db), shared.close())
	}
	s := &Store{dir: d, table: r.table, path: r.path, logger: r.logger, db: db, handle: newHandle(), own: shared}
	if err == nil {
		s.setRecord(record)
	}
	return s, nil
}
