package actors

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Schema is the version of a table's rows that the program understands, and the way there. The version is the
// program's own; Gabion keeps it in the table's record, and so in each backup.
type Schema struct {
	// Version is what the rows must be at, 1 or more. A table that is made is at it from the start. One that was
	// never given a version is at 0.
	Version uint64
	// Migrate brings the rows of a table that is at a lower version to Version. It runs at open, after a backup with a
	// pin and before anybody else reads or writes the table, on a goroutine of the table's own, and should end when
	// ctx does. After an error or a panic the table is opened again with back-off, and at last quarantined. What it
	// has written until then stays, and so does the version: it must do no harm to rows that it has migrated before.
	Migrate func(ctx context.Context, m *Migration, from, to uint64) error
}

// Migration is a table that is being migrated. Its methods belong to the goroutine of Migrate.
type Migration struct {
	store *store.Store
	table string
}

// Table is the table's name.
func (m *Migration) Table() string { return m.table }

// Get returns the value of key; found is false when there is none.
func (m *Migration) Get(key []byte) (value []byte, found bool, err error) { return m.store.Get(key) }

// Walk calls each for every entry of scan, whose limit is ignored, as of now. A nil scan is the whole table. It ends at
// each's first error, which it returns.
func (m *Migration) Walk(ctx context.Context, scan *messages.Scan, each func(key, value []byte) error) error {
	snapshot, err := m.store.Snapshot()
	if err != nil {
		return fmt.Errorf("walk: %w", err)
	}
	err = pages(ctx, snapshot.Page, scan, 0, each)
	return errors.Join(err, snapshot.Close())
}

// Write carries out all ops of w or none, and returns after the fsync. Its conditions must hold. Many rows in one Write,
// up to messages.MaxWrite, cost one fsync.
func (m *Migration) Write(w *messages.Write) error {
	if bad := w.Check(); bad != nil {
		return bad.Of(m.table)
	}
	return commitAlone(m.store, func(g *store.Group) error {
		refusal, err := g.Refuses(w.GetConditions())
		if err != nil {
			return err
		}
		if refusal != nil {
			return refusal.Of(m.table)
		}
		for _, op := range w.GetOps() {
			if err := applyOp(g, operationOf(op), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// rewriteBytes is what Rewrite gathers before it writes.
const rewriteBytes = 1 << 20

// Rewrite calls each for every row and writes what it returns in the row's place; keep is false for a row that goes. A
// value that stays the same is not written.
func (m *Migration) Rewrite(ctx context.Context, each func(key, value []byte) (next []byte, keep bool, err error)) error {
	w, size := &messages.Write{}, 0
	flush := func() error {
		if len(w.GetOps()) == 0 {
			return nil
		}
		err := m.Write(w)
		w, size = &messages.Write{}, 0
		return err
	}
	err := m.Walk(ctx, nil, func(key, value []byte) error {
		next, keep, err := each(key, value)
		switch {
		case err != nil:
			return fmt.Errorf("rewrite row %q: %w", key, err)
		case !keep:
			w.Ops = append(w.Ops, messages.DeleteOp(key))
		case string(next) != string(value):
			w.Ops = append(w.Ops, messages.PutOp(key, next))
		default:
			return nil
		}
		if size += len(key) + len(next); size < rewriteBytes {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// commitAlone commits one group of a store that nobody else commits to.
func commitAlone(s *store.Store, fill func(*store.Group) error) error {
	g, err := s.Begin()
	if err != nil {
		return err
	}
	if err := fill(g); err != nil {
		g.Abandon()
		return err
	}
	if g.Empty() {
		g.Abandon()
		return nil
	}
	c, err := s.Apply(g)
	if err != nil {
		g.Abandon()
		s.Freeze(err)
		return err
	}
	return c.Wait()
}

// errSchema: the program cannot bring the rows to the version it wants; a retry changes nothing.
var errSchema = errors.New("no way from one to the other")

// migrates tells whether the rows of a store are not of the program's schema version.
func (k *keeper) migrates(s *store.Store) bool {
	schema, ok := k.tree.config.Schemas[k.name]
	return ok && s.Record().GetSchemaVersion() != schema.Version
}

// migrate brings the store's rows to the version that the configuration asks for.
func (k *keeper) migrate(s *store.Store) error {
	schema, ok := k.tree.config.Schemas[k.name]
	have := s.Record().GetSchemaVersion()
	switch {
	case !ok || have == schema.Version || k.tree.config.ReadOnly:
		return nil
	case have > schema.Version:
		return messages.WithHint(fmt.Errorf("rows are of schema version %d, the program knows %d: %w", have, schema.Version, errSchema),
			"run a newer program, or restore the backup that was pinned before the migration")
	case schema.Migrate == nil:
		return messages.WithHint(fmt.Errorf("rows are of schema version %d, the program wants %d: %w", have, schema.Version, errSchema),
			"set Migrate in the table's Schema")
	}
	what := fmt.Sprintf("migration from version %d to %d", have, schema.Version)
	k.setState(messages.TableState_TABLE_STATE_OPENING, what, "")
	// Tries that fail leave one backup, of the rows before the first.
	if s.Record().GetPosition().GetSeq() > 0 && !proto.Equal(s.Record().GetPosition(), k.tried) {
		if err := k.tree.backUpOpening(k.live, k.cell, s, "before "+what); err != nil {
			return fmt.Errorf("backup before %s: %w", what, err)
		}
	}
	if err := runMigrate(k.live, schema, &Migration{store: s, table: k.name}, have); err != nil {
		k.tried = proto.CloneOf(s.Record().GetPosition())
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := commitAlone(s, func(g *store.Group) error { g.SetSchemaVersion(schema.Version); return nil }); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	k.logger.Info("table migrated", "from", have, "to", schema.Version)
	return nil
}

// runMigrate runs the host's function, on a goroutine of its own: a panic is an error, and so is the end of that
// goroutine, as by the FailNow of a test.
func runMigrate(ctx context.Context, schema Schema, m *Migration, from uint64) error {
	done := make(chan error, 1)
	go func() {
		err := fmt.Errorf("migrate ended its goroutine: %w", messages.ErrInternal)
		defer func() {
			if reason := recover(); reason != nil {
				err = fmt.Errorf("migrate panicked: %v: %w", reason, messages.ErrInternal)
			}
			done <- err
		}()
		err = schema.Migrate(ctx, m, from, schema.Version)
	}()
	if err := <-done; err != nil {
		return err
	}
	// It may have come back early because of it.
	return context.Cause(ctx)
}

// countNow labels a record with what the store holds, which nobody changes meanwhile.
func countNow(ctx context.Context, s *store.Store, record *messages.TableRecord) error {
	snapshot, err := s.Snapshot()
	if err != nil {
		return err
	}
	found, err := snapshot.Sums(1, func() error { return context.Cause(ctx) })
	found.Label(record)
	return errors.Join(err, snapshot.Close())
}

// backUpOpening backs up a store that is open and not served yet, in a run of its own with a pin.
func (t *tree) backUpOpening(ctx context.Context, c *cell, s *store.Store, label string) error {
	r := newRun(t, &queuedRun{tables: []string{c.name}, label: label, pin: true})
	r.keepsAll = true // a migration that fails at each start must not push out what was before
	r.cut = func(ctx context.Context, table string, have store.Content) (*messages.CutDone, error) {
		content, err := s.Content()
		if err != nil {
			return nil, err
		}
		if content.Same(have) {
			return &messages.CutDone{RunId: r.id, Unchanged: true, Record: content.Record, Sstables: content.SSTables}, nil
		}
		if err := s.Flush(); err != nil {
			return nil, err
		}
		if content, err = s.Content(); err != nil { // the flush has made sstables
			return nil, err
		}
		staging := t.directory.Staging(r.id, table)
		record, err := s.Cut(staging)
		if err == nil && record.GetAccounting() == messages.Accounting_ACCOUNTING_AT_CUT {
			err = countNow(ctx, s, record)
		}
		return &messages.CutDone{RunId: r.id, Staging: staging, Record: record, Sstables: content.SSTables}, err
	}
	result := r.do(ctx).GetSet().GetResults()[0]
	if result.GetOutcome() == messages.Outcome_OUTCOME_FAILED {
		return result.GetFailure()
	}
	return nil
}
