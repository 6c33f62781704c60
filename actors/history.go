package actors

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

const (
	// historyFirst is when after a start the tables are measured first, and historyEvery how often from then on.
	historyFirst = time.Minute
	historyEvery = 10 * time.Minute
	// historySaved is how old the file may become. Writing it costs as much as it is long, whatever was added to it.
	historySaved = time.Hour
	// notesQueued bounds the runs, and the drops, that wait to be noted: a disk that hangs costs the history some.
	notesQueued = 16
)

// historian notes how large the tables are and how the runs went. It holds up nobody: all it does happens on a goroutine
// of its own, which a disk that hangs holds up alone.
type historian struct {
	tree *tree
	// runs are those that have ended and are to be noted, drops the tables that are to be forgotten.
	runs  chan *messages.BackupComplete
	drops chan string
	// gone is closed when the goroutine has ended; nil before start, and where nothing is noted.
	gone chan struct{}
	// reading is of those who ask while the file was not read yet, or nothing is noted.
	reading patience

	mu      sync.Mutex
	history *messages.History // nil until the file was read, or could not be

	// writing is set while the file is read or written.
	writing atomic.Bool

	// The goroutine's alone: saves is set once what is there is known and may be replaced; newer where it is of a newer format;
	// unsaved while something was noted that the file does not have.
	saves, newer, unsaved bool
	// saved is when the file was last written; zero before.
	saved time.Time
	// known is a time that is not ahead of the true one, as far as the points that were read tell, and began when that was.
	known, began time.Time
}

func newHistorian(t *tree) *historian {
	return &historian{tree: t, runs: make(chan *messages.BackupComplete, notesQueued), drops: make(chan string, notesQueued)}
}

// start begins to note; called before there are actors, any of which may stop the tree.
func (h *historian) start() {
	if h.tree.config.ReadOnly {
		return
	}
	h.gone = make(chan struct{})
	s, _ := h.tree.publisher.follow(func(e published) {
		if run, ok := e.event.(*messages.BackupComplete); ok {
			select {
			case h.runs <- run:
			default:
			}
		}
	}, func() {})
	go h.work(s.gone)
}

// wait returns when nothing is noted any more; called when the publisher was told to stop.
func (h *historian) wait() {
	if h.gone != nil {
		<-h.gone
	}
}

// writes tells whether the goroutine is at the file: a disk that hangs keeps it there.
func (h *historian) writes() bool { return h.writing.Load() }

// work is the goroutine. It ends, with the last runs noted, when nothing is published any more.
func (h *historian) work(over <-chan struct{}) {
	defer close(h.gone)
	defer func() {
		if reason := recover(); reason != nil {
			h.tree.config.Logger.Error("history panicked: nothing is noted any more", "reason", reason, "stack", string(debug.Stack()))
		}
	}()
	h.writing.Store(true)
	h.load()
	h.writing.Store(false)
	timer := time.NewTimer(historyFirst)
	defer timer.Stop()
	for {
		due := true
		select {
		case <-timer.C:
			timer.Reset(historyEvery)
			due = time.Since(h.saved) >= historySaved
		case run := <-h.runs:
			h.note(run)
		case table := <-h.drops:
			h.forget(table)
		case <-over:
			if h.noteLast(); h.unsaved {
				h.save()
			}
			return
		}
		h.measure()
		if due {
			h.save()
		}
	}
}

// load reads the file, and adds to it what was noted without it. A file that is damaged counts as none; one that the disk does not
// give is asked for again before anything takes its place, and one of a newer format is left alone.
func (h *historian) load() {
	history, err := h.tree.directory.ReadHistory()
	h.newer = errors.Is(err, store.ErrNewer)
	h.saves = err == nil || errors.Is(err, messages.ErrDataLoss)
	if err != nil {
		h.tree.config.Logger.Warn("history cannot be read: charts begin anew", "error", err)
	}
	if history == nil {
		history = &messages.History{FormatVersion: store.FormatVersion}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.history == nil {
		h.known, h.began = newestPoint(history, wallClock()), time.Now()
	}
	for _, table := range h.history.GetTables() {
		addPoint(history, table)
	}
	for _, run := range h.history.GetRuns() {
		addRun(history, run)
	}
	h.history = history
}

// noteLast notes what waits.
func (h *historian) noteLast() {
	for {
		select {
		case run := <-h.runs:
			h.note(run)
		case table := <-h.drops:
			h.forget(table)
		default:
			return
		}
	}
}

// note adds a run that has ended.
func (h *historian) note(run *messages.BackupComplete) {
	h.mu.Lock()
	defer h.mu.Unlock()
	addRun(h.history, runOf(run))
	h.unsaved = true
}

// dropped has a table forgotten that is no member any more. It never waits.
func (h *historian) dropped(table string) {
	select {
	case h.drops <- table:
	default:
	}
}

// forget takes a table away.
func (h *historian) forget(table string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.history.Tables = slices.DeleteFunc(h.history.GetTables(), func(t *messages.TableHistory) bool { return t.GetTable() == table })
	h.unsaved = true
}

// measure adds a point for each table that is open.
func (h *historian) measure() {
	now := wallClock()
	at := timestamppb.New(now)
	var points []*messages.TableHistory
	members := make(map[string]bool)
	for _, m := range h.tree.members.shown() {
		members[m.name] = true
		row := m.health()
		if row.GetState() != messages.TableState_TABLE_STATE_OPEN || row.GetDiskBytes() == 0 {
			continue // nothing is known of its files
		}
		points = append(points, &messages.TableHistory{Table: m.name, Points: []*messages.SizePoint{{
			Time: at, Count: row.GetCount(), LiveBytes: row.GetLiveBytes(), DiskBytes: row.GetDiskBytes()}}})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range points {
		addPoint(h.history, p)
	}
	// A clock that jumps ahead makes no point old: from the newest one that was read on, ages are counted by how long this process
	// runs.
	if ran := h.known.Add(time.Since(h.began)); ran.Before(now) {
		now = ran
	}
	thinOut(h.history, now, members)
	h.unsaved = true
}

// save writes the file. A crash costs what was noted since the last time.
func (h *historian) save() {
	h.writing.Store(true)
	defer h.writing.Store(false)
	if !h.saves && !h.newer {
		h.load()
	}
	if !h.saves {
		return
	}
	h.mu.Lock()
	history := proto.CloneOf(h.history)
	h.mu.Unlock()
	if err := h.tree.directory.WriteHistory(history); err != nil {
		h.tree.config.Logger.Warn("history is not written", "error", err)
		return
	}
	h.unsaved, h.saved = false, time.Now()
}

// listHistory answers ListHistory.
func (t *tree) listHistory(m *messages.ListHistory) proto.Message {
	history, err := t.historian.current()
	if err != nil {
		return messages.FailureOf(fmt.Errorf("read history: %w", err))
	}
	since := asTime(m.GetSince())
	history.Tables = slices.DeleteFunc(history.Tables, func(h *messages.TableHistory) bool {
		h.Points = slices.DeleteFunc(h.Points, func(p *messages.SizePoint) bool { return p.GetTime().AsTime().Before(since) })
		return len(h.Points) == 0 || len(m.GetTables()) > 0 && !slices.Contains(m.GetTables(), h.GetTable())
	})
	history.Runs = slices.DeleteFunc(history.Runs, func(r *messages.RunHistory) bool { return r.GetFinished().AsTime().Before(since) })
	return history
}

// current returns a copy of the history: the file's where nothing is noted, or it was not read yet.
func (h *historian) current() (*messages.History, error) {
	h.mu.Lock()
	known := proto.CloneOf(h.history)
	h.mu.Unlock()
	if known != nil {
		return known, nil
	}
	read, err := patient(&h.reading, listTimeout, h.tree.directory.ReadHistory)
	if read == nil {
		read = &messages.History{}
	}
	return read, err
}
