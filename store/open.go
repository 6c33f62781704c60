package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// OpenOptions configures Open.
type OpenOptions struct {
	// Create lets a table that has no directory be made empty, and Recreate one that was dropped, too.
	Create, Recreate bool
	// ReadOnly opens the table for reads alone, without a change but for its WALs, which are fsynced: on a disk that is
	// full. A table that there is not is missing.
	ReadOnly bool
	// SchemaVersion is the user's schema version of a table that is made.
	SchemaVersion uint64
	// Accounting is how the table's groups keep its count, bytes and fingerprint. Zero means exact. A table that was
	// opened in the other mode before changes with a group; one that becomes exact needs Recount.
	Accounting messages.Accounting
	// KeepAccounting keeps the mode of the table's record in place of Accounting.
	KeepAccounting bool
	// Newest returns the seq of the newest backup of a lineage; zero means that there is none. An
	// error means unknown: the open goes on with a warning. Nil means that there are no backups.
	Newest func(lineage string) (uint64, error)
	// Context gives up an open that lasts, such as one that a full disk holds up until FreezeAfter: when it ends,
	// the store that is being opened for writing freezes, and Open returns an error that matches ErrFrozen and the
	// context's. A system call that hangs is waited for all the same. A context that ends after Open has
	// returned does nothing. Nil never ends.
	Context context.Context
	// OnFreeze is told what froze the store, once, on a goroutine of its own; also while it is being opened.
	OnFreeze func(cause error)
	// OnRefusal is called, while the store opens and later, when the disk has refused a write that will be tried again:
	// the disk answers. It must not block.
	OnRefusal func()
	// OnCorruption receives damaged blocks that a read met, and blocks that the disk does not give (EIO). Pebble's locks are held:
	// it must not block, nor use the store.
	OnCorruption func(err error)
}

// ErrMissing: the table has no directory, and Create was not set.
var ErrMissing = errors.New("table is missing")

// LossError says that durable operations are gone: those after Have, up to Want.
type LossError struct {
	Lineage string
	// Have is the seq of the record found, Want one that was known to be durable.
	Have, Want uint64
	// Witness is what knew: "high-water mark", "newest backup" or "write-ahead log", which goes on behind Want.
	Witness string
}

func (e *LossError) Error() string {
	return fmt.Sprintf("lineage %s is at seq %d, but its %s is at %d: operations %d to %d are lost",
		e.Lineage, e.Have, e.Witness, e.Want, e.Have+1, e.Want)
}

// Is matches messages.ErrDataLoss.
func (e *LossError) Is(target error) bool { return target == messages.ErrDataLoss }

// Open opens a table. Its directory is not changed where the open cannot succeed: after an unclean stop the
// store is first opened read-only, and served only if its record reaches the mark and the newest backup.
// (After a clean stop that look is spared, so a record that was exchanged since is refused only after Pebble
// has begun a new WAL and MANIFEST; no row is touched.)
// Errors that match messages.ErrDataLoss mean that the table must not be served, nor
// the open tried again without a person.
func (d *Directory) Open(table string, o OpenOptions) (*Store, error) {
	if err := messages.CheckTableName(table); err != nil {
		return nil, err
	}
	s, err := d.open(table, o)
	if err != nil {
		return nil, fmt.Errorf("open table %q: %w", table, err)
	}
	return s, nil
}

func (d *Directory) open(table string, o OpenOptions) (*Store, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	exists, err := Exists(d.fs, d.tablePath(table))
	if err != nil {
		return nil, err
	}
	lineage := ""
	if exists {
		if lineage, err = d.current(table); err != nil {
			return nil, messages.WithHint(err, "restore the table, or correct the file by hand")
		}
	}
	if lineage != "" {
		if err := d.settleUndo(table, lineage); err != nil {
			return nil, err
		}
	} else {
		dropped, err := d.sweepUnfinished(table)
		if err != nil {
			return nil, err
		}
		if dropped && !o.Recreate {
			return nil, messages.WithHint(ErrDropped, "leave it out of the configuration, or create it empty with --create-empty")
		}
		if !o.Create && !o.Recreate || d.readOnly {
			return nil, messages.WithHint(ErrMissing, "restore it from a backup, or create it empty with --create-empty")
		}
		if lineage, err = d.create(table, o.SchemaVersion); err != nil {
			return nil, err
		}
	}
	opening := &opening{dir: d, table: table, lineage: lineage, options: o,
		path:   d.fs.PathJoin(d.tablePath(table), lineage),
		logger: d.logger.With("table", table)}
	return opening.run()
}

// opening is one attempt to open a lineage that current names.
type opening struct {
	dir     *Directory
	table   string
	lineage string
	path    string
	options OpenOptions
	logger  *slog.Logger

	// place is the lineage's directory, which the database holds open.
	place     *Place
	mark      markValue
	markKnown bool
	// newest is the seq of the lineage's newest backup, zero where there is none or it is unknown.
	newest uint64
}

func (p *opening) run() (*Store, error) {
	fs := p.dir.fs
	switch stat, err := fs.Stat(p.path); {
	case WrongKind(err), err == nil && !stat.IsDir():
		// Healing must not replace what somebody has put there, so this is no data loss.
		return nil, messages.WithHint(fmt.Errorf("current names lineage %s, in whose place is no directory: %w", p.lineage, errors.Join(ErrMissing, err)),
			"put back the directory, or restore the table")
	case errors.Is(err, os.ErrNotExist):
		return nil, messages.WithHint(
			fmt.Errorf("current names lineage %s, which has no directory: %w", p.lineage, messages.ErrDataLoss),
			"mount or put back the directory, or restore the table")
	case err != nil:
		return nil, fmt.Errorf("stat %s: %w", p.path, err)
	}
	place, err := placeOf(fs, p.path)
	if err != nil {
		return nil, err
	}
	p.place = place
	if err := p.readMark(); err != nil {
		return nil, err
	}
	p.askNewest()
	if p.options.ReadOnly && !p.dir.readOnly {
		if err := syncWALs(fs, p.path); err != nil {
			return nil, err
		}
	}
	whole, err := manifestIsWhole(fs, p.path)
	if err != nil {
		return nil, err
	}
	if !p.mark.clean || p.mark.seq < p.newest || !whole {
		if err := p.look(); err != nil {
			return nil, err
		}
	}
	if p.dir.readOnly || p.options.ReadOnly {
		db, record, err := p.openDB(fs, true, nil)
		if err != nil {
			return nil, err
		}
		if err := p.check(record); err != nil {
			return nil, errors.Join(err, closeDB(db))
		}
		return p.store(db, record, nil, nil), nil
	}
	frozen := newFreezer(fs, p.path, p.dir.freezeAfter, p.options.OnFreeze)
	frozen.loans = &p.dir.loans
	frozen.onRefusal = p.options.OnRefusal
	frozen.place = p.place
	release := p.heed(frozen)
	db, record, err := p.openDB(frozen, false, frozen)
	release()
	fail := func(err error) (*Store, error) {
		if db != nil {
			err = errors.Join(err, closeDB(db))
		}
		return nil, err
	}
	if frozen.frozen.Load() {
		// What the open met since is no witness of the disk: neither of damage nor of loss, and no success.
		return fail(messages.WithHint(fmt.Errorf("%w while opening: %w", ErrFrozen, frozen.why()),
			"look at the disk and its free space; what the directory held is kept"))
	}
	if err != nil {
		return fail(err)
	}
	if err := p.check(record); err != nil {
		return fail(err)
	}
	last := markValue{lineage: p.lineage, turn: p.mark.turn}
	m, err := openMark(fs, p.path+markSuffix, last, p.logger)
	if err != nil {
		return fail(err)
	}
	m.synced = func() { _ = frozen.check() }
	s := p.store(db, record, frozen, m)
	mode := p.options.Accounting
	if p.options.KeepAccounting {
		mode = record.GetAccounting()
	}
	s.startAccounting(mode)
	return s, nil
}

// look opens the store read-only, and returns what must not be served: read-write, Pebble would delete the evidence of
// what it could not replay.
func (p *opening) look() error {
	db, record, err := p.openDB(p.dir.fs, true, nil)
	if err != nil {
		return err
	}
	err = p.check(record)
	if err := errors.Join(err, closeDB(db)); err != nil {
		return err
	}
	return p.checkGap()
}

// heed lets the end of the options' context freeze z until release is called.
func (p *opening) heed(z *freezer) (release func()) {
	ctx := p.options.Context
	if ctx == nil {
		return func() {}
	}
	freeze := func() { z.freeze(fmt.Errorf("give up open: %w", context.Cause(ctx))) }
	stop := context.AfterFunc(ctx, freeze)
	return func() {
		if !stop() {
			// Its goroutine may not have run yet; it must not freeze a store that was opened.
			freeze()
		}
	}
}

func (p *opening) store(db *pebble.DB, record *messages.TableRecord, frozen *freezer, m *mark) *Store {
	s := &Store{
		dir: p.dir, table: p.table, path: p.path, place: p.place, logger: p.logger,
		db: db, fs: frozen, mark: m, handle: newHandle(), onCorruption: p.options.OnCorruption,
		incarnation: record.GetPosition().GetIncarnation() + 1,
		// Anything but a mark that says clean is stamped by the first group; a clean one too.
		dirty: m != nil && !p.mark.clean,
	}
	s.setRecord(record)
	s.acked.Store(record.GetPosition().GetSeq())
	return s
}

// readMark reads the mark. One that is missing, damaged or another lineage's is unknown: the open goes on.
func (p *opening) readMark() error {
	v, ok, err := readMark(p.dir.fs, p.path+markSuffix)
	if err != nil {
		return err
	}
	if ok && v.lineage == p.lineage {
		p.mark, p.markKnown = v, true
		return nil
	}
	// The slots that will be written must come after those that lie there, whosever they are.
	p.mark.turn = v.turn
	p.logger.Warn("high-water mark is unreadable: loss since the newest backup cannot be seen", "lineage", p.lineage)
	return nil
}

// askNewest asks for the newest backup, once. Where it cannot be told it is unknown: the open goes on.
func (p *opening) askNewest() {
	if p.options.Newest == nil {
		return
	}
	newest, err := p.options.Newest(p.lineage)
	if err != nil {
		p.logger.Warn("newest backup is unknown: loss cannot be checked against it", "error", err)
		return
	}
	p.newest = newest
}

const lossHint = "restore the table from a backup; the directory is kept untouched"

// check compares a record with what is known to have been durable.
func (p *opening) check(record *messages.TableRecord) error {
	position := record.GetPosition()
	if position.GetLineage() != p.lineage {
		return messages.WithHint(fmt.Errorf("directory %s holds lineage %s: %w", p.lineage, position.GetLineage(),
			messages.ErrDataLoss), lossHint)
	}
	if record.GetTable() != p.table {
		return messages.WithHint(fmt.Errorf("directory holds table %q: %w", record.GetTable(), messages.ErrDataLoss), lossHint)
	}
	if p.markKnown && position.GetSeq() < p.mark.seq {
		return messages.WithHint(&LossError{Lineage: p.lineage, Have: position.GetSeq(), Want: p.mark.seq,
			Witness: "high-water mark"}, lossHint)
	}
	if position.GetSeq() < p.newest {
		return messages.WithHint(&LossError{Lineage: p.lineage, Have: position.GetSeq(), Want: p.newest,
			Witness: "newest backup"}, lossHint)
	}
	return nil
}

// openDB opens the lineage's database and reads its record.
func (p *opening) openDB(fs vfs.FS, readOnly bool, frozen *freezer) (db *pebble.DB, record *messages.TableRecord, err error) {
	db, err = p.dir.openPebble(p.path, fs, frozen, p.logger, func(o *pebble.Options) {
		o.ReadOnly = readOnly
		// A lost marker would otherwise make Pebble start empty and delete the old sstables.
		o.ErrorIfNotExists = true
		onCorruption := p.options.OnCorruption
		o.EventListener.DataCorruption = func(info pebble.DataCorruptionInfo) {
			if onCorruption != nil && (frozen == nil || !frozen.frozen.Load()) {
				onCorruption(fmt.Errorf("damaged block in %s: %w: %w", info.Path, info.Details, messages.ErrDataLoss))
			}
		}
	})
	if errors.Is(err, pebble.ErrDBDoesNotExist) || errors.Is(err, os.ErrNotExist) || damaged(err) || err != nil && optionsDamaged(fs, p.path) {
		return nil, nil, messages.WithHint(fmt.Errorf("%w: %w", err, messages.ErrDataLoss),
			"restore the table from a backup; the directory is kept untouched")
	}
	if err != nil {
		return nil, nil, messages.WithHint(err,
			"if it stays so, restore the table from a backup; the directory is kept untouched")
	}
	record, err = readRecord(db)
	if err != nil {
		return nil, nil, errors.Join(err, closeDB(db))
	}
	return db, record, nil
}

// openPebble opens the database at path; configure sets what differs.
func (d *Directory) openPebble(path string, fs vfs.FS, frozen *freezer, logger *slog.Logger, configure func(*pebble.Options)) (db *pebble.DB, err error) {
	o := d.shared.pebbleOptions()
	o.FS = fs
	freeze := func(cause error) {}
	if frozen != nil {
		freeze = frozen.freeze
	}
	o.Logger = pebbleLogger{logger: logger, freeze: freeze}
	// A nil DataCorruption would end the process on the first damaged block.
	o.EventListener = &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}}
	configure(o)
	if o.ReadOnly {
		o.Experimental.CompactionScheduler = nil
		// Pebble would make its LOCK, which a disk refuses that is full or mounted for reading only. The directory's
		// lock keeps others away.
		o.FS = unchanged{fs}
	}
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, panicked(r)
		}
	}()
	if err := checkOptions(fs, path); err != nil {
		return nil, err
	}
	if db, err = pebble.Open(path, o); err != nil {
		return nil, err
	}
	if s, ok := o.Experimental.CompactionScheduler.(*scheduler); ok {
		s.start()
	}
	return db, nil
}

var errNoRecord = fmt.Errorf("database has no table record: %w", messages.ErrDataLoss)

func readRecord(db pebble.Reader) (*messages.TableRecord, error) {
	data, closer, err := db.Get(recordKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, errNoRecord
	}
	if err != nil {
		return nil, fmt.Errorf("read table record: %w", witness(err))
	}
	record, err := decodeRecord(data)
	return record, errors.Join(err, closer.Close())
}
