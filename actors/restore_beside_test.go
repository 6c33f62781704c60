package actors_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// copying matches what the copy of a restore makes, and flipping its flip.
func copying(o fileOp) bool {
	return o.kind == "create" && strings.Contains(o.path, "/tables/tasks/.pending-")
}

func flipping(o fileOp) bool {
	return o.kind == "rename" && o.path == dir+"/tables/tasks/current"
}

// midway runs test while a restore of tasks hangs at a step, until release. The table has the row a, as its backup has, and b.
func midway(t *testing.T, config actors.Config, step func(fileOp) bool, test func(h *host, restore *sender, release func())) {
	t.Helper()
	config.Tables = []string{"tasks", "other"}
	config.CopyTimeout = time.Hour
	bubble(t, config, func(h *host) {
		h.put("tasks", "a", "v")
		h.backup("tasks")
		h.put("tasks", "b", "v")
		release := h.fs.hang(t, step)
		restore := h.send(h.g.Coordinator(), &messages.RestoreTable{Table: "tasks", BackupId: "1"})
		h.settle()
		restore.none("restore")
		test(h, restore, release)
		h.settle()
		for _, path := range h.tree(dir + "/tables/tasks") {
			if strings.Contains(path, ".pending-") {
				t.Errorf("left behind: %s", path)
			}
		}
		h.put("other", "alive", "v")
	})
}

// done wants the restore to have been done.
func done(s *sender) {
	s.h.Helper()
	s.h.settle()
	if report, ok := s.one("restore").(*messages.RestoreReport); !ok || report.GetRestored() == nil {
		s.h.Errorf("restore was answered %v", s.answers())
	}
}

// TestRestoreBesideARestore of the same table, which is refused, whatever step the first is at.
func TestRestoreBesideARestore(t *testing.T) {
	for _, step := range []func(fileOp) bool{copying, flipping} {
		midway(t, actors.Config{}, step, func(h *host, restore *sender, release func()) {
			second := h.send(h.g.Coordinator(), &messages.RestoreTable{Table: "tasks"})
			h.settle()
			if f := second.failure("second restore", messages.Code_CODE_UNAVAILABLE); f.GetRetryAfter() == nil {
				t.Error("it does not say when to ask again")
			}
			release()
			done(restore)
			h.wantValue("tasks", "b", "")
			h.restore(&messages.RestoreTable{Table: "tasks", Undo: true})
			h.wantValue("tasks", "b", "v")
		})
	}
}

// TestRestoreBesideBackups: runs go on, and retention keeps the backup that is being copied, as long as it is.
func TestRestoreBesideBackups(t *testing.T) {
	midway(t, actors.Config{Keep: 1}, copying, func(h *host, restore *sender, release func()) {
		for i := range 3 {
			h.put("tasks", "b", fmt.Sprint(i))
			h.wantRow(h.backup("tasks")["tasks"], messages.Outcome_OUTCOME_BACKED_UP)
		}
		h.prune(&messages.PruneBackups{})
		if got := h.numbers("tasks"); got != "1 4" {
			t.Errorf("backups %s, want 1 4", got)
		}
		release()
		done(restore)
		h.wantValue("tasks", "b", "")
	})
}

// TestRestoreBesideTheLifeOfATable: what closes, opens, drops or kills a table while it is copied takes effect at once, and the
// restore goes on, or is refused.
func TestRestoreBesideTheLifeOfATable(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(h *host) error
		fails bool
	}{
		"close": {do: func(h *host) error { return h.g.CloseTable(h.Context(), "tasks") }},
		"close and open": {do: func(h *host) error {
			return errors.Join(h.g.CloseTable(h.Context(), "tasks"), h.g.OpenTable(h.Context(), "tasks"))
		}},
		"owner panics":       {do: func(h *host) error { h.restart("tasks"); return nil }},
		"coordinator panics": {do: func(h *host) error { h.restart("backup"); return nil }},
		"drop":               {do: func(h *host) error { return h.g.DropTable(h.Context(), "tasks") }, fails: true},
		"drop without backup": {do: func(h *host) error {
			return h.g.Drop(h.Context(), &messages.DropTable{Table: "tasks", WithoutBackup: true})
		}, fails: true},
		"drop and create": {do: func(h *host) error {
			return errors.Join(h.g.DropTable(h.Context(), "tasks"), h.g.CreateTable(h.Context(), "tasks", true))
		}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			midway(t, intercepted(actors.Config{}), copying, func(h *host, restore *sender, release func()) {
				if err := c.do(h); err != nil {
					t.Fatal(err)
				}
				release()
				h.settle()
				if !c.fails {
					done(restore)
					h.wantValue("tasks", "a", "v")
					h.wantValue("tasks", "b", "")
					return
				}
				if f, ok := restore.one("restore").(*messages.Failure); !ok {
					t.Errorf("restore was answered %v", restore.answers())
				} else {
					t.Log(f)
				}
				if name == "drop and create" {
					h.wantValue("tasks", "a", "")
					return
				}
				h.restore(&messages.RestoreTable{Table: "tasks", Undo: true})
				h.wantValue("tasks", "b", "v")
			})
		})
	}
}

// TestDropBesideAFlip comes after it: the table is restored, and then dropped, and both its lineages are undo.
func TestDropBesideAFlip(t *testing.T) {
	midway(t, actors.Config{}, flipping, func(h *host, restore *sender, release func()) {
		drop := async(func() (string, error) {
			return "", h.g.Drop(h.Context(), &messages.DropTable{Table: "tasks", WithoutBackup: true})
		})
		h.settle()
		drop.pending(h, "drop")
		release()
		done(restore)
		drop.want(h, "drop", "")
		health, err := h.g.Health(h.Context())
		if err != nil || len(health.GetUndo()) != 2 {
			t.Errorf("undo %v, %v", health.GetUndo(), err)
		}
		h.restore(&messages.RestoreTable{Table: "tasks", Undo: true})
		h.wantValue("tasks", "a", "v")
		h.wantValue("tasks", "b", "")
	})
}

// TestStopBesideARestore ends the copy, and waits for the flip.
func TestStopBesideARestore(t *testing.T) {
	for name, step := range map[string]func(fileOp) bool{"copy": copying, "flip": flipping} {
		midway(t, actors.Config{}, step, func(h *host, restore *sender, release func()) {
			stop := async(func() (string, error) { return "", h.g.Stop(context.Background()) })
			h.settle()
			stop.pending(h, "stop")
			release()
			pass(time.Minute)
			stop.want(h, "stop", "")
			h.start()
			h.wantValue("tasks", "a", "v")
			if name == "copy" {
				restore.failure("restore", messages.Code_CODE_UNAVAILABLE)
				h.wantValue("tasks", "b", "v")
			} else {
				// The open that follows the flip is done, or given up.
				if f, ok := restore.one("restore").(*messages.Failure); ok {
					wantText(t, f.GetMessage(), "serves the restored lineage", "stopped")
				}
				h.wantValue("tasks", "b", "")
			}
		})
	}
}

// TestWritesBesideARestore: each is answered, with Committed or with UNAVAILABLE and when to ask again, while the owner panics too; what
// was acknowledged is there, or within what the restore says is lost.
func TestWritesBesideARestore(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}, CopyTimeout: time.Hour}, func(h *host) {
		h.put("tasks", "a", "v")
		h.backup("tasks")
		type row struct {
			key string
			seq uint64
		}
		var mu sync.Mutex
		var acked []row
		var refused int
		stop := make(chan struct{})
		var group sync.WaitGroup
		for w := range 4 {
			group.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					key := fmt.Sprintf("%d/%d", w, n)
					seq, err := h.g.Table("tasks").Put(h.Context(), []byte(key), []byte("v"))
					var f *messages.Failure
					mu.Lock()
					switch {
					case err == nil:
						acked = append(acked, row{key: key, seq: seq})
					case errors.As(err, &f) && f.GetCode() == messages.Code_CODE_UNAVAILABLE && f.GetRetryAfter() != nil:
						refused++
					default:
						t.Errorf("put was answered %v", err)
					}
					mu.Unlock()
					pass(time.Millisecond)
				}
			})
		}
		pass(20 * time.Millisecond)
		var opened []func()
		opened = append(opened, h.fs.hang(t, copying))
		restore := h.send(h.g.Coordinator(), &messages.RestoreTable{Table: "tasks"})
		pass(20 * time.Millisecond)
		flip := h.fs.hang(t, flipping)
		opened[0]()
		pass(20 * time.Millisecond)
		mu.Lock()
		before := len(acked)
		mu.Unlock()
		flip()
		pass(20 * time.Millisecond)
		close(stop)
		group.Wait()
		h.settle()
		report, ok := restore.one("restore").(*messages.RestoreReport)
		if !ok {
			t.Fatal(restore.answers())
		}
		r := report.GetRestored()
		if before < 40 || len(acked) <= before || refused == 0 || r.GetLostFrom() != 2 || int(r.GetLostTo()) != before+1 {
			t.Errorf("%d acknowledged before, %d in all, %d refused, restored %v", before, len(acked), refused, r)
		}
		for i, a := range acked {
			if i < before && (a.seq < r.GetLostFrom() || a.seq > r.GetLostTo()) || i >= before && a.seq <= r.GetPosition().GetSeq() {
				t.Errorf("row %s of seq %d was acknowledged, and lies not within %v", a.key, a.seq, r)
			}
			h.wantValue("tasks", a.key, map[bool]string{true: "v"}[i >= before])
		}
	})
}

// TestWalkBesideARestore: it is as of one instant, or ends with an error that says why not.
func TestWalkBesideARestore(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		for i := range 40 {
			h.put("tasks", fmt.Sprintf("%02d", i), strings.Repeat("v", 100<<10))
		}
		h.backup("tasks")
		n := 0
		err := h.g.Table("tasks").Walk(h.Context(), nil, func(_, _ []byte) error {
			if n++; n == 1 {
				h.restore(&messages.RestoreTable{Table: "tasks"})
			}
			return nil
		})
		if !errors.Is(err, messages.ErrUnavailable) || n == 40 {
			t.Errorf("walk of %d rows ended with %v", n, err)
		}
		t.Log(err)
	})
}
