package actors_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// full makes a table's disk too full for another sstable, until free; attempts counts those that failed.
func (h *host) full(table string) (free func(), attempts func() int64) {
	var n atomic.Int64
	free = h.fs.on(func(o fileOp) bool {
		return o.kind == "create" && strings.HasSuffix(o.path, ".sst") && strings.HasPrefix(o.path, dir+"/tables/"+table+"/")
	}, func(fileOp) error {
		n.Add(1)
		return syscall.ENOSPC
	})
	return free, n.Load
}

// TestFullDisk: a disk that has no room for sstables is asked now and then, not thousands of times; past the limit
// the store is frozen and opened again, and once there is room all that was acknowledged is there.
func TestFullDisk(t *testing.T) {
	h := newHost(t, actors.Config{Tables: []string{"tasks", "other"}, MemTableBytes: 32 << 10, FreezeAfter: 300 * time.Millisecond})
	free, attempts := h.full("tasks")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var acked []string
	for i := range 2000 {
		key := fmt.Sprintf("k%04d", i)
		if _, err := h.g.Table("tasks").Put(ctx, []byte(key), make([]byte, 1000)); err != nil {
			if !errors.Is(err, messages.ErrUnavailable) && !errors.Is(err, messages.ErrExhausted) {
				t.Errorf("put %d = %v, want ErrUnavailable or ErrExhausted", i, err)
			}
			break
		}
		acked = append(acked, key)
	}
	if n := attempts(); n < 3 || n > 12 {
		t.Errorf("%d attempts, want some", n)
	}
	h.put("other", "key", "value")
	free()
	for ctx.Err() == nil && h.info("tasks").GetState() != open {
		if _, err := h.g.Health(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range acked {
		h.wantValue("tasks", key, string(make([]byte, 1000)))
	}
}

// TestFullDiskAtOpen: a table whose WAL cannot be replayed for want of room says so in time, serves reads between two tries,
// and holds up neither Start nor Stop.
func TestFullDiskAtOpen(t *testing.T) {
	mem := vfs.NewCrashableMem()
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}, FS: mem}, func(h *host) {
		h.put("tasks", "key", "value")
		crashed := prepare(h.T, actors.Config{Tables: []string{"tasks", "other"}, FS: mem.CrashClone(vfs.CrashCloneCfg{})})
		free, attempts := crashed.full("tasks")
		crashed.start()
		crashed.wantState("tasks", full)
		wantText(t, crashed.info("tasks").GetReason(), "no space left on device")
		crashed.wantValue("tasks", "key", "value")
		crashed.put("other", "key", "value")
		if n := attempts(); n < 10 || n > 80 {
			t.Errorf("%d attempts in 30 s", n)
		}
		// For an hour, without a quarantine; then in the middle of the next try.
		for range 20 {
			pass(3 * time.Minute)
			if state := crashed.info("tasks").GetState(); state == quarantined {
				t.Fatal("a full disk quarantines")
			}
		}
		for crashed.info("tasks").GetState() != reopening {
			pass(time.Second)
		}
		pass(5 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := crashed.g.Stop(ctx); err == nil {
			t.Error("stop closed a store that is being opened")
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("stop took %v, its context 1s", took)
		}
		before := attempts()
		pass(time.Minute)
		if attempts() > before {
			t.Errorf("%d attempts after Stop", attempts()-before)
		}
		free()
		crashed.start()
		crashed.wantValue("tasks", "key", "value")
	})
}

// room says what the disk of a path has free.
func (h *host) room(free func(path string) uint64) {
	usage := func(path string) (vfs.DiskUsage, error) {
		return vfs.DiskUsage{AvailBytes: free(path), TotalBytes: 100 << 30}, nil
	}
	h.fs.usage.Store(&usage)
}

// TestWatermark: below the reserve writes are refused before the disk is full, reads and other requests go on, and the
// table takes writes again by itself once there is room.
func TestWatermark(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("tasks", "k", "v")
		var free atomic.Uint64
		free.Store(10 << 30)
		h.room(func(path string) uint64 {
			if path == backups {
				return 10 << 30 // another disk
			}
			return free.Load()
		})
		seen := h.events()
		pass(2 * time.Second)
		h.put("tasks", "k", "v2")
		h.put("other", "k", "v")
		h.wantState("tasks", open)
		free.Store(255 << 20)
		pass(2 * time.Second)
		for range 2 {
			_, err := h.g.Table("tasks").Put(h.Context(), []byte("k"), []byte("v3"))
			if !errors.Is(err, messages.ErrExhausted) || errors.Is(err, messages.ErrOutcomeUnknown) || !strings.Contains(hints(err), "free some space") {
				t.Errorf("put = %v, hints %s", err, hints(err))
			}
			wantText(t, fmt.Sprint(err), "255 MiB free, 256 MiB must stay free")
		}
		h.wantState("tasks", full)
		if row := h.backup()["other"]; row.GetFailure().GetCode() != messages.Code_CODE_RESOURCE_EXHAUSTED {
			t.Errorf("cut on a disk short of room: %v", row)
		}
		h.wantState("other", open) // it is told by its next write
		h.wantValue("tasks", "k", "v2")
		if _, err := h.g.Table("tasks").Scan(h.Context(), &messages.Scan{}); err != nil {
			t.Errorf("scan of a full table: %v", err)
		}
		free.Store(10 << 30)
		pass(3 * time.Second)
		h.settle()
		h.wantState("tasks", open)
		h.wantRow(h.backup()["other"], backedUp)
		h.put("tasks", "k", "v4")
		changes := eventsOf[*messages.TableStateChanged](seen)
		if len(changes) != 2 || changes[0].GetTo() != full || changes[0].GetHint() == "" || changes[1].GetTo() != open {
			t.Errorf("changes: %v", changes)
		}
		if n := h.health("tasks").GetRestarts(); n != 0 {
			t.Errorf("restarts = %d", n)
		}
	})
}

// TestFullWAL: a disk that is met full freezes the store; it is read until there is room, and never quarantined.
func TestFullWAL(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("tasks", "k", "v")
		remove := h.fs.on(under(dir+"/tables/tasks", "write", "create", "reuse", "sync"), func(fileOp) error { return syscall.ENOSPC })
		if _, err := h.g.Table("tasks").Put(h.Context(), []byte("k"), []byte("lost")); !errors.Is(err, messages.ErrOutcomeUnknown) {
			t.Errorf("put on a full disk = %v", err)
		}
		h.settle()
		h.wantState("tasks", full)
		// The WALs cannot be fsynced, so nothing is shown.
		if _, err := h.g.Table("tasks").Get(h.Context(), []byte("k")); !errors.Is(err, messages.ErrUnavailable) {
			t.Errorf("get of a table that cannot be read: %v", err)
		}
		remove()
		remove = h.fs.on(under(dir+"/tables/tasks", "write", "create", "reuse"), func(fileOp) error { return syscall.ENOSPC })
		for range 40 {
			pass(time.Minute)
			if state := h.info("tasks").GetState(); state != full && state != reopening {
				t.Fatalf("state of a table on a full disk is %v", state)
			}
		}
		for h.info("tasks").GetState() != full {
			pass(time.Second)
		}
		h.wantValue("tasks", "k", "v")
		_, err := h.g.Table("tasks").Put(h.Context(), []byte("k"), []byte("w"))
		if !errors.Is(err, messages.ErrExhausted) {
			t.Errorf("put = %v", err)
		}
		row := h.backup()["tasks"]
		if row.GetFailure().GetCode() != messages.Code_CODE_RESOURCE_EXHAUSTED {
			t.Errorf("backup of a full table: %v", row)
		}
		h.put("other", "k", "v")
		remove()
		pass(time.Minute)
		h.settle()
		h.wantState("tasks", open)
		h.wantValue("tasks", "k", "v")
		h.put("tasks", "k", "w")
	})
}

// TestStartOnAFullDisk: tables that are there are read, without a try to replay their WALs; RetryTable tries at once.
func TestStartOnAFullDisk(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		h.stop()
		var free atomic.Uint64
		h.room(func(string) uint64 { return free.Load() })
		changed := 0
		remove := h.fs.on(under(dir+"/tables/tasks", "write", "create", "reuse", "rename", "remove"), func(fileOp) error { changed++; return nil })
		h.start()
		h.wantState("tasks", full)
		h.wantValue("tasks", "k", "v")
		if err := h.g.RetryTable(h.Context(), "tasks"); !errors.Is(err, messages.ErrExhausted) {
			t.Errorf("retry on a full disk: %v", err)
		}
		if changed > 0 {
			t.Errorf("a full table was changed %d times", changed)
		}
		remove()
		free.Store(10 << 30)
		pass(time.Second) // the answer of a second ago counts no more
		if err := h.g.RetryTable(h.Context(), "tasks"); err != nil {
			t.Errorf("retry with room: %v", err)
		}
		h.put("tasks", "k", "w")
		h.wantState("tasks", open)
		h.stop()
	})
}

// TestReaderOnAFullDisk: without a server no table is full, and health says that the disk is.
func TestReaderOnAFullDisk(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup()
		h.stop()
		var free atomic.Uint64
		h.room(func(string) uint64 { return free.Load() })
		h.config.ReadOnly = true
		h.start()
		report := h.report()
		if report.GetGrade() != messages.Grade_GRADE_YELLOW || !strings.Contains(strings.Join(report.GetConcerns(), "; "), "the disk has 0 MiB free") {
			t.Errorf("on a full disk: %v, %s", report.GetGrade(), report.GetConcerns())
		}
		free.Store(10 << 30)
		pass(time.Second)
		if report = h.report(); strings.Contains(strings.Join(report.GetConcerns(), "; "), "MiB free") {
			t.Errorf("with room: %v", report.GetConcerns())
		}
		h.stop()
	})
}

// TestBackupThatDoesNotFit is not begun: nothing is written, the reason says what is needed, and the tables go on.
func TestBackupThatDoesNotFit(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "idle"}}, func(h *host) {
		h.put("idle", "k", "v")
		h.backup()
		h.put("tasks", "k", strings.Repeat("v", 5<<20))
		var spare atomic.Uint64
		h.room(func(path string) uint64 {
			if path == backups {
				return 256<<20 + spare.Load()
			}
			return 10 << 30
		})
		before := h.tree(backups + "/tasks")
		rows := h.backup()
		failure := rows["tasks"].GetFailure()
		if failure.GetCode() != messages.Code_CODE_RESOURCE_EXHAUSTED || !strings.Contains(failure.GetHint(), "free some space") {
			t.Errorf("backup that does not fit: %v", rows["tasks"])
		}
		wantText(t, failure.GetMessage(), "to be copied", "the disk has 256 MiB free, and 256 MiB must stay free")
		h.wantRow(rows["idle"], carried)
		if after := h.tree(backups + "/tasks"); !slices.Equal(before, after) {
			t.Errorf("a backup that does not fit left %q, before were %q", after, before)
		}
		h.wantNoStaging()
		h.wantState("tasks", open)
		spare.Store(8 << 20)
		h.wantRow(h.backup()["tasks"], backedUp)
		// What is linked needs no room.
		h.put("tasks", "k2", "v")
		spare.Store(1 << 20)
		h.wantRow(h.backup()["tasks"], backedUp)
	})
}

// TestRefusedWritesReadNothing: where a full disk refuses a group's writes, nothing is read for them.
func TestRefusedWritesReadNothing(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.big("tasks")
		release, syncs := h.blockCommitter("tasks")
		h.room(func(string) uint64 { return 0 })
		pass(2 * time.Second)
		var all []*sender
		for i := range 20 {
			all = append(all, h.send(h.pid("tasks"), put(fmt.Sprintf("%03d", i*17), "v")))
		}
		h.settle()
		var reads atomic.Int64
		h.fs.on(func(o fileOp) bool { return o.kind == "read" && strings.HasSuffix(o.path, ".sst") }, func(fileOp) error {
			reads.Add(1)
			return nil
		})
		release()
		syncs()
		h.settle()
		for _, s := range all {
			s.failure("put", messages.Code_CODE_RESOURCE_EXHAUSTED)
		}
		if n := reads.Load(); n != 0 {
			t.Errorf("%d reads of sstables", n)
		}
	})
}
