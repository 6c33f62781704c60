package actors

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// mostQueued bounds the different runs that wait behind the one under way.
const mostQueued = 8

// runner does the runs, one at a time, on a goroutine that exists while there is something to do. The tree
// holds it: a run goes on while the coordinator restarts.
type runner struct {
	tree *tree
	ctx  context.Context
	end  context.CancelCauseFunc

	mu       sync.Mutex
	newest   ulid.ULID // the id of the newest run
	queue    []*queuedRun
	active   *queuedRun // under way
	running  bool
	stopping bool
	work     sync.WaitGroup
}

// queuedRun is a run, or a prune, that has not begun. Requests for the same tables, label and pin share it: what they
// sent before is before its cuts.
type queuedRun struct {
	key    string
	tables []string
	all    bool // no tables were named: they are all that were served
	label  string
	pin    bool
	adopt  bool
	// prune is set for what is no run: a PruneBackups.
	prune  *messages.PruneBackups
	askers []*request
	// anew is set for a run that links to no backup.
	anew *anew
	// last is set where the run is the last of a table that is dropped. It is shared with nobody.
	last *lastRun
}

// lastRun is the last run of a table that is dropped. turn is called before the table's first cut; its error is the table's.
type lastRun struct {
	turn func(ctx context.Context) error
}

// anew asks for backups that share nothing with those that lie there. done gets the run's answer; it must not wait.
type anew struct{ done func(proto.Message) }

// newRunner returns the runner of a tree whose newest run so far is newest, "" when there is none.
func newRunner(t *tree, newest string) *runner {
	ctx, end := context.WithCancelCause(context.Background())
	r := &runner{tree: t, ctx: ctx, end: end}
	r.newest, _ = ulid.ParseStrict(newest)
	return r
}

// nextID mints the id of a run. Ids order the runs, also across a clock that went back.
func (r *runner) nextID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := ulid.Make()
	if id.Compare(r.newest) <= 0 {
		// Past the end of ULID's time, in the year 10889, the order is given up.
		if next, err := ulid.New(r.newest.Time()+1, ulid.DefaultEntropy()); err == nil {
			id = next
		}
	}
	r.newest = id
	return id.String()
}

// ask queues a run, or joins one that waits. The request is answered when the run is done.
func (r *runner) ask(m *messages.BackupAll, asker *request) {
	if failure := r.queueUp(m, asker, nil); failure != nil {
		asker.answer(failure)
	}
}

func (r *runner) queueUp(m *messages.BackupAll, asker *request, last *lastRun, fresh ...anew) *messages.Failure {
	if r.tree.config.ReadOnly {
		return messages.Failf(messages.Code_CODE_PERMISSION_DENIED, "directory is open for reading only").
			Advise("ask the host that serves the directory")
	}
	tables := slices.Compact(slices.Sorted(slices.Values(m.GetTables())))
	var unknown []string
	for _, table := range tables {
		if _, failure := r.tree.find(table); failure != nil {
			unknown = append(unknown, table)
		}
	}
	if unknown != nil {
		return messages.Failf(messages.Code_CODE_NOT_FOUND, "no such tables: %s", strings.Join(unknown, ", ")).
			Advise("ListTables names the tables that are served")
	}
	all := len(tables) == 0
	if all {
		tables = r.tree.served()
	}
	key := fmt.Sprintf("%s\x00%s\x00%v\x00%v", strings.Join(tables, ","), m.GetLabel(), m.GetPin(), m.GetAdopt())
	next := &queuedRun{key: key, tables: tables, all: all, label: m.GetLabel(), pin: m.GetPin(), adopt: m.GetAdopt(), last: last}
	for _, a := range fresh {
		next.anew = &a
	}
	return r.enqueue(next, asker)
}

// enqueue has next done in its turn, or lets asker share one with the same key that waits.
func (r *runner) enqueue(next *queuedRun, asker *request) *messages.Failure {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping {
		return stoppedFailure()
	}
	for _, q := range r.queue {
		if q.key == next.key && q.anew == nil && next.anew == nil && q.last == nil && next.last == nil {
			q.askers = append(q.askers, asker)
			q.all = q.all || next.all
			asker.taken.Store(true)
			return nil
		}
	}
	if len(r.queue) >= mostQueued {
		return messages.Failf(messages.Code_CODE_RESOURCE_EXHAUSTED, "%d different runs wait already", mostQueued).
			After(time.Minute).Advise("wait for BackupComplete")
	}
	next.askers = []*request{asker}
	r.queue = append(r.queue, next)
	asker.taken.Store(true)
	if !r.running {
		r.running = true
		r.work.Go(r.drain)
	}
	return nil
}

// withdraw takes a last run out of the queue, if it has not begun. Its asker is answered by the caller.
func (r *runner) withdraw(last *lastRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = slices.DeleteFunc(r.queue, func(q *queuedRun) bool { return q.last == last })
}

// drain does what is queued, until nothing is.
func (r *runner) drain() {
	for {
		r.mu.Lock()
		r.active = nil
		if len(r.queue) == 0 {
			r.running = false
			r.mu.Unlock()
			return
		}
		next := r.queue[0]
		r.queue = r.queue[1:]
		r.active = next
		r.mu.Unlock()
		var reply proto.Message
		if next.prune != nil {
			reply = r.tree.guardedPrune(r.ctx, next.prune)
		} else {
			r.tree.scheduler.began(next)
			report, failure := r.guarded(next)
			r.tree.scheduler.ended(next, report)
			if reply = report; failure != nil {
				reply = failure
			}
			r.tree.drill.wake()
		}
		if next.anew != nil {
			next.anew.done(reply)
		}
		for _, asker := range next.askers {
			asker.answer(reply)
		}
	}
}

// guarded does one run; a panic ends it as failed, without a report. A run that was refused has both.
func (r *runner) guarded(q *queuedRun) (report *messages.BackupReport, failure *messages.Failure) {
	run := newRun(r.tree, q)
	defer func() {
		if reason := recover(); reason != nil {
			r.tree.config.Logger.Error("run panicked", "run_id", run.id, "reason", reason, "stack", string(debug.Stack()))
			failure = messages.Failf(messages.Code_CODE_INTERNAL, "run %s panicked: %v", run.id, reason).
				Advise("the log has the stack; backups that the run had published are complete")
			run.sweep()
			r.tree.publisher.publish(run.broken(fmt.Sprintf("run panicked: %v", reason)))
		}
	}()
	report = run.do(r.ctx)
	if run.isRefused() {
		failure = messages.FailureOf(run.refused)
	}
	return report, failure
}

// stop refuses new runs, cancels the one under way and answers those that wait.
func (r *runner) stop(ctx context.Context) error {
	r.mu.Lock()
	r.stopping = true
	waiting := r.queue
	r.queue = nil
	r.mu.Unlock()
	for _, q := range waiting {
		for _, asker := range q.askers {
			asker.answer(stoppedFailure())
		}
	}
	r.end(errors.New("gabion is stopping"))
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		r.work.Wait()
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		r.mu.Lock()
		active := r.active
		r.mu.Unlock()
		if active == nil {
			return nil
		}
		for _, asker := range active.askers {
			asker.answer(stoppedFailure())
		}
		return errors.New("run still waits for its disk")
	}
}

// wait returns when no run is under way.
func (r *runner) wait() { r.work.Wait() }

// now is the time as records keep it.
func now() *timestamppb.Timestamp { return timestamppb.New(time.Now()) }
