package actors

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// eventLog keeps the newest events on disk. It is one more subscriber: a disk that fails or hangs costs the log some
// events, and holds up nobody but those who read it.
type eventLog struct {
	log    *store.EventLog
	logger *slog.Logger
	// reading is of those who read the log.
	reading patience
	// writer is nil where nothing is written: before start, and where Config.ReadOnly is set.
	writer *subscriber

	// The writer's alone.
	failing  bool
	volatile bool // the last fsync failed
	missing  int  // events since failing began
}

// newEventLog makes the log of a tree, and has the publisher number the events so that no number is given twice: a
// crash may have taken the last events from the log, but not the time at which they were numbered.
func newEventLog(t *tree) *eventLog {
	l := &eventLog{log: t.directory.EventLog(), logger: t.config.Logger}
	last, err := within(listTimeout, l.log.Last)
	if err != nil {
		l.logger.Warn("event log cannot be read: the clock alone numbers the events", "error", err)
	}
	t.publisher.begin(max(last, uint64(max(0, time.Now().UnixMicro()))))
	return l
}

// start logs every event from now on.
func (l *eventLog) start(t *tree) {
	if !t.config.ReadOnly {
		l.writer, _ = t.publisher.follow(l.write, func() { l.warn(l.log.Close()) })
	}
}

// write appends an event. A BackupComplete is durable then, with all before it; the others are when the operating
// system wrote them, or another one, or Stop.
func (l *eventLog) write(e published) {
	late := time.AfterFunc(listTimeout, func() {
		l.logger.Warn("event log waits for its disk: events are not logged meanwhile")
	})
	defer late.Stop()
	if err := l.log.Append(e.logged()); err != nil {
		l.missing++
		l.warn(err)
		return
	}
	if vital(e) {
		err := l.log.Sync()
		l.volatile = err != nil
		l.warn(err)
	}
	if l.failing && !l.volatile {
		l.logger.Info("events are logged again", "missing", l.missing)
		l.failing, l.missing = false, 0
	}
}

// logged is the event as it stands in the log.
func (e published) logged() *messages.LoggedEvent {
	logged := &messages.LoggedEvent{Seq: e.seq, Time: timestamppb.New(e.at)}
	logged.SetMessage(e.event)
	return logged
}

// warn tells that trouble begins.
func (l *eventLog) warn(err error) {
	if err != nil && !l.failing {
		l.failing = true
		l.logger.Warn("events are not logged: the log on disk misses them", "error", err)
	}
}

// wait returns when nothing is written any more; called when the publisher was told to stop.
func (l *eventLog) wait() {
	if l.writer != nil {
		<-l.writer.gone
	}
}

// writes tells whether the writer has not ended.
func (l *eventLog) writes() bool {
	if l.writer == nil {
		return false
	}
	select {
	case <-l.writer.gone:
		return false
	default:
		return true
	}
}

// listEvents reads the log, up to what was published before the call.
func (t *tree) listEvents(m *messages.ListEvents) proto.Message {
	list, err := patient(&t.events.reading, listTimeout, func() (*messages.EventList, error) {
		if t.events.writer != nil {
			t.events.writer.reach()
		}
		var since time.Time
		if m.GetSince() != nil {
			since = m.GetSince().AsTime()
		}
		events, more, err := t.events.log.Read(m.GetAfter(), since, int(min(m.GetLimit(), math.MaxInt32)))
		list := &messages.EventList{Events: events}
		if more {
			list.Next = events[len(events)-1].GetSeq()
		}
		return list, err
	})
	if err != nil {
		return messages.FailureOf(fmt.Errorf("list events: %w", err))
	}
	return list
}

// Events yields the logged events that m asks for, oldest first, up to those published before it ends; all of them for
// an empty m. m.Limit is the most it yields, 0 no bound. The log keeps the newest events of up to 4 MiB, those of the
// starts before among them. An error ends the sequence. It is sugar over the message ListEvents.
func (g *Gabion) Events(ctx context.Context, m *messages.ListEvents) iter.Seq2[*messages.LoggedEvent, error] {
	return func(yield func(*messages.LoggedEvent, error) bool) {
		m := proto.CloneOf(m)
		if m == nil {
			m = &messages.ListEvents{}
		}
		for {
			list, err := ask[*messages.EventList](ctx, g.tree.repliers, g.Coordinator(), proto.CloneOf(m))
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range list.GetEvents() {
				if !yield(e, nil) {
					return
				}
			}
			if m.Limit > 0 {
				m.Limit -= uint32(len(list.GetEvents()))
				if m.Limit == 0 {
					return
				}
			}
			if m.After = list.GetNext(); m.After == 0 {
				return
			}
		}
	}
}
