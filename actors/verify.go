package actors

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// target is one backup to verify.
type target struct {
	table, id string
	bytes     int64 // as far as it is known
	// manifest is the hash that the backup's manifest must have, empty where any does.
	manifest string
}

// verifyBackups answers VerifyBackup. It ends with ctx.
func (t *tree) verifyBackups(ctx context.Context, m *messages.VerifyBackup) proto.Message {
	report := &messages.VerifyReport{}
	err := t.verifyEach(ctx, m, func(u *messages.VerifyUpdate) error {
		if result := u.GetResult(); result != nil {
			report.Results = append(report.Results, result)
		}
		return nil
	})
	if err != nil {
		return messages.FailureOf(err)
	}
	return report
}

// verifyEach verifies what m asks for, and hands each result on as it comes, and progress in between. An error that each
// returns ends it.
func (t *tree) verifyEach(ctx context.Context, m *messages.VerifyBackup, each func(*messages.VerifyUpdate) error) error {
	targets, err := patient(&t.listing, listTimeout, func() ([]target, error) { return t.targets(m) })
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, target := range targets {
		tell := newTeller(target.table, target.id, passes*target.bytes, func(p *messages.Progress) {
			if err := each(&messages.VerifyUpdate{Update: &messages.VerifyUpdate_Progress{Progress: p}}); err != nil {
				cancel(err)
			}
		})
		// Of those that are asked for one goes at a time: each reads as fast as the disk gives, or it is asked to. The drill, which goes at its
		// own slow pace, holds none of them up.
		select {
		case t.proving <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		progress, workers := tell.add, eagerWorkers()
		if rate := m.GetBytesPerSecond(); rate > 0 {
			pace := newPace(ctx, int64(min(rate, math.MaxInt64)))
			progress = func(bytes int64) {
				tell.add(bytes)
				pace.spend(bytes)
			}
			workers = 1
		}
		result := t.verifyBackup(ctx, target, backup.VerifyOptions{By: "verify", Progress: progress, Workers: workers})
		<-t.proving
		tell.hush()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := each(&messages.VerifyUpdate{Update: &messages.VerifyUpdate_Result{Result: result}}); err != nil {
			return err
		}
	}
	return nil
}

// passes is how often the bytes of a backup are read by a verify, or read and written by a restore: files, then blocks.
const passes = 2

// eagerWorkers is on how many goroutines a backup is read that somebody waits for, with the table down perhaps. More than a few
// would read no faster, and leave the other tables nothing.
func eagerWorkers() int { return min(runtime.GOMAXPROCS(0), 4) }

// teller tells progress, not more often than a person sees.
type teller struct {
	progress *messages.Progress
	tell     func(*messages.Progress)
	last     time.Time

	mu   sync.Mutex // held while it tells
	over bool
}

// tellEvery is how often.
const tellEvery = 100 * time.Millisecond

func newTeller(table, id string, total int64, tell func(*messages.Progress)) *teller {
	return &teller{progress: &messages.Progress{Table: table, BackupId: id, Total: total}, tell: tell, last: time.Now()}
}

// add counts bytes. One goroutine at a time.
func (t *teller) add(bytes int64) {
	t.progress.Bytes += bytes
	if now := time.Now(); t.tell != nil && now.Sub(t.last) >= tellEvery {
		t.last = now
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.over {
			t.tell(proto.CloneOf(t.progress))
		}
	}
}

// hush ends the telling: a read that was left behind goes on counting when its disk answers.
func (t *teller) hush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
}

// targets are the backups that a VerifyBackup asks for, by table, newest first.
func (t *tree) targets(m *messages.VerifyBackup) ([]target, error) {
	tables := m.GetTables()
	if m.GetRunId() != "" {
		return t.targetsOfSet(m)
	}
	if m.GetBackupId() != "" {
		b, err := t.backups.Find(tables[0], m.GetBackupId())
		return []target{{table: tables[0], id: b.ID, bytes: b.Bytes()}}, err
	}
	if len(tables) == 0 {
		known, err := t.backups.Tables()
		if err != nil {
			return nil, err
		}
		tables = known
	}
	var targets []target
	for i, table := range tables {
		if slices.Contains(tables[:i], table) {
			continue
		}
		backups, err := t.backups.List(table)
		if err != nil {
			return nil, err
		}
		if len(backups) == 0 {
			return nil, messages.Failf(messages.Code_CODE_NOT_FOUND, "table has no backup").Of(table).
				Advise("ListBackups, or gabion backups, lists what there is")
		}
		if !m.GetAll() {
			backups = backups[:1]
		}
		for _, b := range backups {
			targets = append(targets, target{table: table, id: b.ID, bytes: b.Bytes()})
		}
	}
	return targets, nil
}

func (t *tree) targetsOfSet(m *messages.VerifyBackup) ([]target, error) {
	sets, err := t.backups.Sets()
	if err != nil {
		return nil, err
	}
	for _, set := range sets {
		if set.GetRunId() != m.GetRunId() {
			continue
		}
		var targets []target
		for _, result := range set.GetResults() {
			if result.GetBackupId() != "" {
				targets = append(targets, target{result.GetTable(), result.GetBackupId(), result.GetBytes(), result.GetManifestSha256()})
			}
		}
		return targets, nil
	}
	return nil, messages.Failf(messages.Code_CODE_NOT_FOUND, "no set of run %s", m.GetRunId()).
		Advise("ListBackups, or gabion backups, lists the runs")
}

// verifyBackup verifies one backup, publishes the verdict, and has a table whose newest backup turned red backed up anew.
func (t *tree) verifyBackup(ctx context.Context, b target, o backup.VerifyOptions) *messages.VerifyResult {
	result := &messages.VerifyResult{Table: b.table, BackupId: b.id}
	ctx, span := t.span(ctx, "gabion.verify", tableAttribute(b.table), attribute.String("gabion.backup_id", b.id), attribute.String("gabion.by", o.By))
	defer func() { span.end(verdictError(result)) }()
	add, end := t.underway.begin(workOf(o.By), b.table, b.id, passes*b.bytes)
	defer end()
	verified, err := watched(ctx, t.config.CopyTimeout, "verify", func(ctx context.Context, progress func()) (backup.Verified, error) {
		limited := o.Progress
		o.Progress = func(bytes int64) {
			progress()
			add(bytes)
			if limited != nil {
				limited(bytes)
				progress()
			}
		}
		return t.backups.Verify(ctx, b.table, b.id, o)
	})
	result.Proof, result.Neighbours = verified.Proof, verified.Neighbours
	if err != nil {
		result.Failure = messages.FailureOf(err).Of(b.table)
		level := slog.LevelError
		if ctx.Err() != nil {
			level = slog.LevelInfo // whoever asked went away, or Gabion stops
		}
		t.config.Logger.Log(ctx, level, "backup not verified", "table", b.table, "backup_id", b.id, "error", err)
	}
	if verified.Unkept != nil {
		result.Failure = messages.FailureOf(messages.WithHint(verified.Unkept,
			"look at the disk of the backups, and verify again: the verdict holds, and the next start does not know of it")).Of(b.table)
	}
	if proof := verified.Proof; proof != nil && b.manifest != "" && proof.GetManifestSha256() != b.manifest {
		result.Failure = messages.Failf(messages.Code_CODE_DATA_LOSS,
			"backup is another one than that of the set: its manifest has the hash %.12s, the set says %.12s", proof.GetManifestSha256(), b.manifest).
			Of(b.table).Advise("gabion backups shows what is left of the set")
	}
	if verified.Proof != nil {
		t.announce(verified)
	}
	return result
}

// workOf is what Progress calls a verify that was asked for by somebody.
func workOf(by string) string {
	if by == "verify" {
		return "verify"
	}
	return "drill"
}

// verdictError is what a span of a verify ends with: nil where the backup is proven.
func verdictError(result *messages.VerifyResult) error {
	switch {
	case result.GetFailure() != nil:
		return result.GetFailure()
	case result.GetProof().GetVerdict() == messages.Verdict_VERDICT_RED:
		return fmt.Errorf("backup is red: %s", result.GetProof().GetReason())
	}
	return nil
}

// announce tells of a verdict.
func (t *tree) announce(v backup.Verified) {
	t.publisher.publish(&messages.BackupVerified{Proof: v.Proof, Neighbours: v.Neighbours})
	log := t.config.Logger.With("table", v.Proof.GetTable(), "backup_id", v.Proof.GetBackupId(), "by", v.Proof.GetBy(),
		"took", v.Proof.GetFinished().AsTime().Sub(v.Proof.GetStarted().AsTime()).Round(time.Millisecond))
	if v.Proof.GetVerdict() == messages.Verdict_VERDICT_PROVEN {
		log.Info("backup proven", "rows", v.Proof.GetRows(), "bytes", v.Proof.GetBytes())
		return
	}
	log.Error("backup is red", "reason", v.Proof.GetReason(), "shared_with", v.Neighbours)
	t.drill.turnedRed(v.Proof)
}

// Verify proves the backups that m asks for, by the code that restores them, one after another, and waits for the report.
// Red backups are rows of it, not an error. It is sugar over the message VerifyBackup.
func (g *Gabion) Verify(ctx context.Context, m *messages.VerifyBackup) (*messages.VerifyReport, error) {
	return ask[*messages.VerifyReport](ctx, g.tree.repliers, g.Coordinator(), m)
}

// VerifyEach verifies as Verify does, and hands each result to each as it comes, and progress in between, on one goroutine at a time. It
// ends with ctx, and with an error that each returns.
func (g *Gabion) VerifyEach(ctx context.Context, m *messages.VerifyBackup, each func(*messages.VerifyUpdate) error) error {
	if bad := m.Check(); bad != nil {
		return bad
	}
	ctx, end := g.tree.lasting(ctx)
	defer end()
	return g.tree.verifyEach(ctx, m, each)
}

// lasting is ctx, ended by Stop too, which waits for end.
func (t *tree) lasting(ctx context.Context) (_ context.Context, end func()) {
	t.admin.began()
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(t.runner.ctx, func() { cancel(stoppedFailure()) })
	return ctx, func() {
		stop()
		cancel(nil)
		t.admin.ended()
	}
}

// VerifyBackup proves one backup of a table, by its name or its number alone; with an empty id the newest. A red one is an
// error that matches messages.ErrDataLoss, beside the proof that says why.
func (g *Gabion) VerifyBackup(ctx context.Context, table, id string) (*messages.Proof, error) {
	report, err := g.Verify(ctx, &messages.VerifyBackup{Tables: []string{table}, BackupId: id})
	if err != nil {
		return nil, err
	}
	result := report.GetResults()[0]
	switch proof := result.GetProof(); {
	case result.GetFailure() != nil:
		return proof, result.GetFailure()
	case proof.GetVerdict() != messages.Verdict_VERDICT_PROVEN:
		return proof, messages.Failf(messages.Code_CODE_DATA_LOSS, "backup %s is red: %s", proof.GetBackupId(), proof.GetReason()).
			Of(table).Advise("restore another one; the next run takes a new one")
	default:
		return proof, nil
	}
}
