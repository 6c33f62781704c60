package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// Gabion is one running tree. Its methods may be called from any goroutine. Those that take a context wait. Within an
// actor's Receive they work, and the actor receives nothing else meanwhile; the message that each method names, sent to
// the PID, does not hold it up. Within Config.Middleware, which runs in the owners' own Receive, they may wait for themselves
// until ctx ends.
type Gabion struct {
	tree       *tree
	supervisor *actor.PID
}

// Start opens the directories, spawns the supervisor with its owners and the coordinator, and waits until every
// table is open, or has said why it is not: a table that cannot be served is quarantined, and one whose disk does not
// answer within Config.StallAfter goes on opening. ListTables and Health show both, and neither holds up anybody else.
//
// An actor may call Start within its Receive, with its own SpawnNamed as Config.Spawn or without, and receives its next
// message when Start has returned. A supervisor below an actor stops with it, and before it restarts: the Start in its next
// Started finds name and directory free.
//
// A faulty configuration is an error that names every fault, with a hint for each (messages.Hints), and
// changes nothing on disk. When ctx ends first, Start stops what it began and returns the context's error, within
// seconds, also while a disk hangs; what it has locked then is given free when the disk answers.
func Start(ctx context.Context, system *actor.ActorSystem, config Config) (*Gabion, error) {
	config = config.withDefaults()
	t, err := openTree(ctx, system, config)
	if err != nil {
		return nil, fmt.Errorf("start gabion: %w", err)
	}
	g, err := t.spawn(ctx)
	if err == nil && config.Answering != nil {
		err = config.Answering(g)
	}
	if err == nil {
		err = t.settled(ctx)
	}
	if err != nil {
		// A little more time than ctx had, so that nothing stays behind unless a disk hangs.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		return nil, fmt.Errorf("start gabion: %w", errors.Join(err, g.Stop(grace)))
	}
	t.scheduler.start()
	t.drill.start()
	t.aside("sweep of undo", func() {
		if err := t.sweep(listTimeout); err != nil {
			config.Logger.Warn("undo whose life has ended is not removed", "error", err)
		}
	})
	t.logStart()
	t.logUnconfigured()
	return g, nil
}

// hinted gives an error of a directory that has no hint the one that is left.
func hinted(err error) error {
	if len(messages.Hints(err)) > 0 {
		return err
	}
	return messages.WithHint(err, "check that the directory can be written and that its disk has free space")
}

// spawn starts the keepers and the actors. The event stream gets every event from the first one on. What it
// returns beside an error must be stopped.
func (t *tree) spawn(ctx context.Context) (*Gabion, error) {
	g := &Gabion{tree: t}
	stream := t.system.EventStream
	t.publisher.subscribe(func(event proto.Message) { stream.Publish(event) })
	t.events.start(t)
	t.historian.start()
	for _, m := range t.members.list() {
		go m.keep()
	}
	s := &supervisor{tree: t, spawned: make(chan struct{})}
	m := newMailbox(t.outbox, t.config.Name)
	m.mayStop.Store(true)
	props := actor.PropsFromProducer(func() actor.Actor { return s },
		actor.WithMailbox(func() actor.Mailbox { return m }),
		actor.WithReceiverMiddleware(t.guard(m, t.config.Name, false)),
		actor.WithSupervisor(s))
	spawn := t.config.Spawn
	if spawn == nil {
		spawn = t.system.Root.SpawnNamed
	}
	pid, err := spawn(props, t.config.Name)
	if err != nil {
		return g, messages.WithHint(fmt.Errorf("spawn supervisor %q: %w", t.config.Name, err),
			"give each Gabion of one actor system a Name of its own")
	}
	g.supervisor = pid
	t.supervisor.Store(pid)
	select {
	case <-s.spawned:
	case <-ctx.Done():
		return g, fmt.Errorf("spawn children of %q: %w", t.config.Name, context.Cause(ctx))
	}
	if s.err != nil {
		return g, fmt.Errorf("spawn children of %q: %w", t.config.Name, s.err)
	}
	return g, nil
}

// settled waits until every table is open, or has said why not.
func (t *tree) settled(ctx context.Context) error {
	for _, m := range t.members.list() {
		select {
		case <-m.settled:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Stop refuses new requests, commits and answers what was sent before, ends a run that is under way, closes
// every table and releases the directories. It is bounded by ctx alone: when ctx ends first, whatever still
// waits is answered UNAVAILABLE, and the error names the tables whose disk hangs. Calling it again
// returns what the first call did.
func (g *Gabion) Stop(ctx context.Context) error {
	err := g.tree.shutdown(ctx)
	return errors.Join(err, g.stopActors(ctx))
}

// stopActors stops the supervisor, and with it the children, and waits until they are gone.
func (g *Gabion) stopActors(ctx context.Context) error {
	process, ok := g.tree.system.ProcessRegistry.Get(g.supervisor)
	if !ok {
		return nil
	}
	// The framework's own wait would give up after ten seconds, whatever ctx says.
	pool := newRepliers(g.tree.system, g.tree.config.Name)
	defer pool.close()
	watcher := pool.get()
	process.SendSystemMessage(g.supervisor, &actor.Watch{Watcher: watcher.pid})
	g.tree.system.Root.Stop(g.supervisor)
	late := make(chan struct{}, 1)
	_, err := watcher.await(ctx, func(any) { late <- struct{}{} })
	if err == nil {
		return nil
	}
	// A little more time: the children have nothing left to do, unless the host's middleware blocks one.
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-late:
		return nil
	case <-grace.C:
		return fmt.Errorf("stop actors: %w", err)
	}
}

// PID returns the PID of a table's owner: any actor may send it the messages of the table. The PID of a name never changes.
// It stays good while the owner restarts, and while the table is closed, reopened, restored, quarantined, or dropped and
// created anew. After Stop it is good again from the next Start in the same actor system. What is sent to it while no such
// table exists is answered NOT_FOUND.
//
// A watcher of the PID gets nothing for as long as the table exists: a restart of the owner sends no message, nor does a
// table that is closed, opened, reopened, restored, quarantined or retried. One *actor.Terminated comes when the table
// was dropped, or when Gabion stops; its Why is TerminatedReason_Stopped. A watch of a PID without a table, or after Stop,
// is answered at once, with TerminatedReason_NotFound. After a Terminated, watch again once the table exists. To learn what
// becomes of a table's store, take messages.TableStateChanged from Subscribe or the event stream.
//
// After Stop proto.actor itself answers: *actor.DeadLetterResponse to an actor, actor.ErrDeadLetter to a future. It does
// so too in the instant in which the owner of a dropped table ends or a new one begins, and for a PID that the program
// made without this method. Of names without a table, the 1,024 that were asked for last are answered NOT_FOUND.
func (g *Gabion) PID(table string) *actor.PID {
	if pid := g.tree.members.owner(table); pid != nil {
		return pid
	}
	id := g.supervisor.GetId() + "/" + table
	if messages.CheckTableName(table) != nil {
		id = g.supervisor.GetId() + "/no table/" + table // not the coordinator's, whose name no table can have
	}
	pid := actor.NewPID(g.supervisor.GetAddress(), id)
	g.tree.graves.meet(table, pid, func() bool { return g.tree.members.find(table) != nil })
	return pid
}

// Dir returns the directory of the tables, as an absolute path without links.
func (g *Gabion) Dir() string { return g.tree.directory.Path() }

// BackupDir returns the directory of the backups, as an absolute path without links.
func (g *Gabion) BackupDir() string { return g.tree.backups.Path() }

// Supervisor is the PID that answers ListTables, CreateTable, OpenTable, CloseTable, RetryTable and DropTable.
func (g *Gabion) Supervisor() *actor.PID { return g.supervisor }

// Coordinator is the PID that answers BackupAll, ListBackups, ShowBackup, VerifyBackup, RestoreTable, PruneBackups,
// PinBackup, ListEvents and HealthMetrics.
func (g *Gabion) Coordinator() *actor.PID { return g.tree.members.backup() }

// BackupAll backs up every table, or those named, and waits for the report. Tables that failed are rows
// of it, not an error. It is sugar over the message BackupAll.
func (g *Gabion) BackupAll(ctx context.Context, tables ...string) (*messages.BackupReport, error) {
	return g.Backup(ctx, &messages.BackupAll{Tables: tables})
}

// Backup is BackupAll with a label, or one that adopts the backup directory. The error matches messages.ErrNotAdopted where that is
// not known to be the one of this directory.
func (g *Gabion) Backup(ctx context.Context, m *messages.BackupAll) (*messages.BackupReport, error) {
	return ask[*messages.BackupReport](ctx, g.tree.repliers, g.Coordinator(), m)
}

// ShowBackup returns all that is known of one complete backup: its files, its path, and what is known against it. id
// is what ListBackups names it, or its number alone. One that there is not is an error that matches messages.ErrNotFound.
func (g *Gabion) ShowBackup(ctx context.Context, table, id string) (*messages.BackupDetail, error) {
	return ask[*messages.BackupDetail](ctx, g.tree.repliers, g.Coordinator(), &messages.ShowBackup{Table: table, BackupId: id})
}

// ListBackups lists the complete backups of all tables, or those named, and the sets.
func (g *Gabion) ListBackups(ctx context.Context, tables ...string) (*messages.BackupList, error) {
	return ask[*messages.BackupList](ctx, g.tree.repliers, g.Coordinator(), &messages.ListBackups{Tables: tables})
}

// PruneBackups applies retention now, in turn with the runs, and waits for what it did: every decision with its reasons,
// and the bytes that were freed. With DryRun it removes nothing, and waits for no run. What could not be removed is among
// the faults, not an error.
func (g *Gabion) PruneBackups(ctx context.Context, m *messages.PruneBackups) (*messages.PruneReport, error) {
	return ask[*messages.PruneReport](ctx, g.tree.repliers, g.Coordinator(), m)
}

// PinBackup has retention keep a backup until it is unpinned, and returns the backup once that is durable.
func (g *Gabion) PinBackup(ctx context.Context, m *messages.PinBackup) (*messages.BackupInfo, error) {
	return ask[*messages.BackupInfo](ctx, g.tree.repliers, g.Coordinator(), m)
}

// Health reports on every table, also on those that cannot answer. It is sugar over HealthMetrics.
func (g *Gabion) Health(ctx context.Context) (*messages.HealthReport, error) {
	return ask[*messages.HealthReport](ctx, g.tree.repliers, g.Coordinator(), &messages.HealthMetrics{})
}

// History returns how large the tables were, and how the runs went, in all the time that Dir remembers: up to two years, thinner
// the older it is. It is sugar over the message ListHistory.
func (g *Gabion) History(ctx context.Context, m *messages.ListHistory) (*messages.History, error) {
	return ask[*messages.History](ctx, g.tree.repliers, g.Coordinator(), m)
}

// ListTables returns the state of every table, by name. Where DIR cannot be listed it returns the tables that it knows, beside an
// error: those on disk that nobody asked to serve may be missing.
func (g *Gabion) ListTables(ctx context.Context) ([]*messages.TableInfo, error) {
	list, err := ask[*messages.TableList](ctx, g.tree.repliers, g.supervisor, &messages.ListTables{})
	return list.GetTables(), errors.Join(err, messages.Faults(list.GetFaults()))
}

// CloseTable commits and answers what was accepted, and closes the table's store. Requests get
// UNAVAILABLE until OpenTable.
func (g *Gabion) CloseTable(ctx context.Context, table string) error {
	_, err := ask[*messages.TableList](ctx, g.tree.repliers, g.supervisor, &messages.CloseTable{Table: table})
	return err
}

// OpenTable opens a closed table, or one on disk that Config.Tables does not name, and waits until it serves, or has said why not.
func (g *Gabion) OpenTable(ctx context.Context, table string) error {
	_, err := ask[*messages.TableList](ctx, g.tree.repliers, g.supervisor, &messages.OpenTable{Table: table})
	return err
}

// CreateTable makes an empty table and serves it. A name that backups know, or that was dropped, is refused:
// createEmpty makes it all the same. A table created so is served by the next start only if Config.Tables names it, or
// OpenTable asks for it.
func (g *Gabion) CreateTable(ctx context.Context, table string, createEmpty bool) error {
	_, err := ask[*messages.TableList](ctx, g.tree.repliers, g.supervisor, &messages.CreateTable{Table: table, CreateEmpty: createEmpty})
	return err
}

// DropTable backs a table up a last time, with a pin, takes it out of service and keeps its data for Config.UndoLife.
func (g *Gabion) DropTable(ctx context.Context, table string) error {
	return g.Drop(ctx, &messages.DropTable{Table: table})
}

// Drop drops a table as DropTable does, or without the last backup where m says so. Behind other runs it waits for its turn, and the table takes
// writes; they are refused from its last backup on. When ctx ends before its turn the drop is given up, and the table stays
// as it was; later the drop goes on, and the error matches messages.ErrOutcomeUnknown.
func (g *Gabion) Drop(ctx context.Context, m *messages.DropTable) error {
	_, err := ask[*messages.TableList](ctx, g.tree.repliers, g.supervisor, &boundedDrop{DropTable: m, ctx: ctx})
	return err
}

// RetryTable opens a quarantined table again, and waits until it serves, or has said why not.
func (g *Gabion) RetryTable(ctx context.Context, table string) error {
	_, err := ask[*messages.TableList](ctx, g.tree.repliers, g.supervisor, &messages.RetryTable{Table: table})
	return err
}

// Subscribe calls handle for each event from now on: BackupStarted, TableBackedUp, BackupComplete,
// BackupVerified, TableRestored, TableStateChanged. handle runs on a goroutine of its own, one event after another; it may block, panic or
// cancel without harm to anybody else. A handler that falls more than 1,024 events behind misses some, but
// never a BackupComplete. cancel may be called at any time, from handle too.
func (g *Gabion) Subscribe(handle func(event proto.Message)) (cancel func()) {
	return g.tree.publisher.subscribe(handle)
}
