package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// restore is one RestoreTable, or one healing. What it does lasts until the flip beside a table that serves: the copy is made
// and verified under a lineage of its own. Then the keeper closes the store, flips current and opens what it names.
type restore struct {
	tree    *tree
	request *messages.RestoreTable
	// healed and reason are of a restore that nobody asked for.
	healed  bool
	reason  string
	serves  bool // what it replaces serves, and is damaged; else it did not open
	started *timestamppb.Timestamp
	// known is the record of a store that was closed for the restore; nil where none was.
	known *messages.TableRecord
	// tell, unless nil, is told the progress, on one goroutine at a time.
	tell func(*messages.Progress)
}

// restoreTable answers RestoreTable. It ends with ctx, but for the flip.
func (t *tree) restoreTable(ctx context.Context, m *messages.RestoreTable) proto.Message {
	r := &restore{tree: t, request: m, started: now()}
	report, err := r.do(ctx)
	if err != nil {
		return messages.FailureOf(fmt.Errorf("restore: %w", err)).Of(m.GetTable())
	}
	return report
}

func (r *restore) do(ctx context.Context) (report *messages.RestoreReport, err error) {
	t := r.tree
	if !r.request.GetDryRun() {
		var span span
		ctx, span = t.span(ctx, "gabion.restore", tableAttribute(r.request.GetTable()), attribute.Bool("gabion.healed", r.healed))
		defer func() { span.end(err) }()
	}
	if t.config.ReadOnly && !r.request.GetDryRun() {
		return nil, readOnlyFailure()
	}
	if ctx.Err() != nil { // the directories may be somebody else's by now
		return nil, stoppedFailure()
	}
	reopen, err := r.closeDamaged(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { reopen(err != nil) }()
	// Planned first: what cannot be restored makes nothing of a table that there is not.
	s, err := r.source(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { s.release() }()
	if r.request.GetDryRun() {
		return &messages.RestoreReport{Plan: s.plan}, nil
	}
	m, err := t.adopt(ctx, r.request.GetTable())
	if err != nil {
		return nil, err
	}
	if !m.restoring.CompareAndSwap(false, true) {
		return nil, messages.Failf(messages.Code_CODE_UNAVAILABLE, "table is being restored already").Of(m.name).After(retryLate).
			Advise("wait for TableRestored, or gabion events --follow")
	}
	defer m.restoring.Store(false)
	if r.healed {
		// Another restore may have been in between.
		if err := t.mayHeal(m.cell, r.serves); err != nil {
			return nil, err
		}
	}
	for {
		restored, err := r.take(ctx, m.cell, s)
		if err == nil {
			return &messages.RestoreReport{Plan: s.plan, Restored: restored}, nil
		}
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil, stoppedFailure()
		}
		// What was chosen by itself and turned out to be red is passed over the next time.
		if chosen := r.request.GetBackupId() == "" && s.plan.GetSource() == sourceBackup; !chosen || !errors.Is(err, errTurnedRed) {
			return nil, err
		}
		t.config.Logger.Warn("restore goes on with an older backup", "table", m.name, "error", err)
		next, err := r.source(ctx)
		if err != nil {
			return nil, err
		}
		s.release()
		s = next
	}
}

// The sources of a RestorePlan.
const (
	sourceBackup = "backup"
	sourceLive   = "live"
	sourceUndo   = "undo"
)

// errTurnedRed: the backup that was to be restored is damaged.
var errTurnedRed = errors.New("backup turned red")

// source is what a restore takes. It is held until release, which may be called again.
type source struct {
	plan *messages.RestorePlan
	// backup is set for a backup, record and lineage for the other two.
	backup  backup.Backup
	record  *messages.TableRecord
	lineage string
	// remains are what can be read of files that are not taken as they are; nil where they are, or were verified.
	remains *store.Remains
	// parents are where the lineages branched off that are known.
	parents map[string]*messages.Position
	release func()
}

// source plans the restore.
func (r *restore) source(ctx context.Context) (*source, error) {
	t := r.tree
	s := &source{release: func() {}}
	plan := &messages.RestorePlan{Table: r.request.GetTable(), UndoUntil: timestamppb.New(time.Now().Add(t.config.UndoLife))}
	s.plan = plan
	position, err := within(listTimeout, func() (*messages.Position, error) { return t.directory.Reached(plan.GetTable()) })
	if err != nil {
		t.config.Logger.Warn("where the table is cannot be told", "table", plan.GetTable(), "error", err)
	}
	s.parents = t.parents(plan.GetTable(), position.GetLineage())
	if m := t.members.find(plan.GetTable()); m != nil {
		if serving := m.serving.Load(); serving != nil {
			record := serving.store.Record()
			position = proto.CloneOf(record.GetPosition())
			if parent := record.GetParent(); parent.GetLineage() != "" {
				s.parents[position.GetLineage()] = parent
			}
		}
	}
	if r.known != nil {
		position = proto.CloneOf(r.known.GetPosition())
		if parent := r.known.GetParent(); parent.GetLineage() != "" {
			s.parents[position.GetLineage()] = parent
		}
	}
	plan.Serving = position
	switch {
	case r.request.GetUndo():
		plan.Source = sourceUndo
		err = r.planUndo(ctx, s)
	case r.request.GetLive():
		plan.Source = sourceLive
		err = r.planLive(ctx, s)
	default:
		plan.Source = sourceBackup
		err = r.planBackup(ctx, s)
	}
	if err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

func (r *restore) planBackup(ctx context.Context, s *source) error {
	t, m := r.tree, r.request
	choice := backup.Choice{ID: m.GetBackupId(), At: asTime(m.GetAt()), Red: m.GetRed()}
	if r.healed && s.plan.GetServing() != nil {
		choice.History = s.history(s.plan.GetServing(), nil) // nobody has asked for what was put out of service
	}
	type chosen struct {
		backup     backup.Backup
		passedOver []string
	}
	// Chosen, held, and chosen again: retention may have been in between.
	choose := func() (chosen, error) {
		b, over, err := t.backups.Choose(m.GetTable(), choice)
		return chosen{b, over}, err
	}
	first, err := patient(&t.listing, listTimeout, choose)
	if err != nil {
		return err
	}
	s.release = t.backups.Use(m.GetTable(), first.backup.ID)
	again, err := patient(&t.listing, listTimeout, choose)
	if err != nil {
		return err
	}
	if again.backup.ID != first.backup.ID {
		s.release()
		s.release = t.backups.Use(m.GetTable(), again.backup.ID)
	}
	b := again.backup
	s.backup = b
	s.plan.BackupId, s.plan.Proof, s.plan.Bytes = b.ID, b.Proof, b.Bytes()
	for _, over := range again.passedOver {
		s.plan.PassedOver = append(s.plan.PassedOver, messages.Text(over))
	}
	s.describe(b.Manifest.GetRecord(), b.CutAt())
	if !m.GetRed() {
		return nil
	}
	left, err := t.examineBackup(ctx, b)
	if err != nil {
		return messages.WithHint(err, "restore another backup; gabion backups lists them")
	}
	s.leave(left, b.CutAt())
	return nil
}

// describe fills in what the source holds.
func (s *source) describe(record *messages.TableRecord, cut time.Time) {
	s.record = record
	s.plan.Position, s.plan.Rows, s.plan.Cut = record.GetPosition(), record.GetCount(), timestamppb.New(cut)
}

// take makes a lineage of the source and has it served.
func (r *restore) take(ctx context.Context, c *cell, s *source) (*messages.TableRestored, error) {
	if s.plan.GetSource() == sourceUndo && s.remains == nil {
		return r.serve(c, s, s.lineage, s.record, func(reason string, until time.Time) error {
			return r.tree.directory.Serve(c.name, s.lineage, reason, until)
		})
	}
	t := r.tree
	making, err := within(t.config.CopyTimeout, func() (*store.Restoring, error) { return t.directory.StartRestore(c.name) })
	if err != nil {
		return nil, err
	}
	// A call that hangs is left behind: what it makes lies there until the next sweep.
	defer func() {
		if _, err := within(t.config.CopyTimeout, func() (any, error) { return nil, making.Abandon() }); err != nil {
			c.logger.Warn("what a restore has made is left behind", "error", err)
		}
	}()
	if err := r.fill(ctx, s, making.Path()); err != nil {
		return nil, err
	}
	record, err := watched(ctx, t.config.CopyTimeout, "restore", func(context.Context, func()) (*messages.TableRecord, error) {
		if s.remains != nil && !s.remains.Proven {
			return making.Finish(nil) // its sums are those of the rows that are missing, too
		}
		return making.Finish(s.record)
	})
	if err != nil {
		return nil, err
	}
	return r.serve(c, s, making.Lineage(), record, making.Serve)
}

// fill copies and verifies the source.
func (r *restore) fill(ctx context.Context, s *source, to string) error {
	t := r.tree
	add, end := t.underway.begin("restore", s.plan.GetTable(), s.plan.GetBackupId(), passes*s.plan.GetBytes())
	defer end()
	proof, err := watched(ctx, t.config.CopyTimeout, "restore", func(ctx context.Context, progress func()) (*messages.Proof, error) {
		told := newTeller(s.plan.GetTable(), s.plan.GetBackupId(), passes*s.plan.GetBytes(), r.tell)
		o := backup.VerifyOptions{By: "restore", Workers: eagerWorkers(), Progress: func(bytes int64) {
			progress()
			add(bytes)
			told.add(bytes)
		}}
		if s.remains != nil {
			return nil, backup.CopyRemains(ctx, t.directory.FS(), t.config.Logger, s.remains, to, o)
		}
		return t.backups.Restore(ctx, s.backup, to, o)
	})
	if err == nil {
		if proof != nil {
			s.plan.Proof = proof
			t.announce(backup.Verified{Proof: proof})
		}
		return nil
	}
	if s.remains == nil && errors.Is(err, messages.ErrDataLoss) {
		// Restore has kept the proof.
		if b, findErr := within(listTimeout, func() (backup.Backup, error) { return t.backups.Find(s.plan.GetTable(), s.backup.ID) }); findErr == nil && b.Red && b.Proof != nil {
			t.announce(backup.Verified{Proof: b.Proof})
			return fmt.Errorf("%w: %w", err, errTurnedRed)
		}
	}
	return err
}

// serve has the keeper flip the table to a lineage, by put, and tells of it.
func (r *restore) serve(c *cell, s *source, lineage string, record *messages.TableRecord,
	put func(reason string, until time.Time) error) (*messages.TableRestored, error) {
	t := r.tree
	life := t.config.UndoLife
	if r.healed {
		life = max(life, healPause) // its record is what tells of the healing
	}
	until := time.Now().Add(life)
	restored := &messages.TableRestored{
		Table: c.name, Source: s.plan.GetSource(), BackupId: s.plan.GetBackupId(), Position: record.GetPosition(), Parent: record.GetParent(),
		Started: r.started, Healed: r.healed, Reason: messages.Text(r.reason),
		Damaged: s.plan.GetDamaged(), RowsMissing: s.plan.GetRowsMissing(), MendedBy: s.plan.GetMendedBy(),
	}
	flipped := false
	flip := func(before *messages.TableRecord) error {
		if before != nil && (r.request.GetLive() || r.healed && !r.serves) {
			return messages.Failf(messages.Code_CODE_ABORTED, "table has opened meanwhile, and serves its own files").Of(c.name).
				Advise("there may be nothing left to restore: look at gabion health")
		}
		if r.healed {
			tried := time.Now() // monotonic, for mayHeal
			c.healed.Store(&tried)
		}
		old, err := t.directory.Current(c.name)
		if err != nil {
			c.logger.Warn("what served before is unknown", "error", err)
		}
		if old != "" && old != lineage {
			restored.UndoLineage, restored.UndoUntil = old, timestamppb.New(until)
		}
		restored.LostFrom, restored.LostTo = s.lost(before, record)
		if restored.LossId, err = r.noteLoss(restored, lineage, old); err != nil {
			return err
		}
		if restored.GetLossId() != "" {
			defer t.settleLoss(c.name)
		}
		reason := store.UndoRestored
		if r.healed {
			reason = store.UndoHealed
		}
		err = put(reason, until)
		if current, currentErr := t.directory.Current(c.name); err != nil && currentErr == nil && current == lineage {
			// Pebble's open, which comes next, fsyncs the directory that current lies in before it serves.
			c.logger.Warn("flip of a restore met an error after it was done", "error", err)
			err = nil
		}
		flipped = err == nil
		return err
	}
	// Not bounded by the asker: half a flip is none.
	err := c.askFor(context.Background(), command{want: restoreCommand, flip: flip})
	restored.Finished = now()
	if !flipped { // what current says by now may be a drop's
		return nil, err
	}
	t.scheduler.serve()
	t.publisher.publish(restored)
	c.logger.Info("table restored", "source", restored.GetSource(), "backup_id", restored.GetBackupId(),
		"lineage", lineage, "lost_from", restored.GetLostFrom(), "lost_to", restored.GetLostTo(), "healed", r.healed)
	if err != nil {
		return nil, fmt.Errorf("table serves the restored lineage, but did not open: %w", err)
	}
	return restored, nil
}
