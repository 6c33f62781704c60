package actors_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestScheduledRetention: three months of backups every six hours leaves what the rules say, and as few sets.
func TestScheduledRetention(t *testing.T) {
	config := actors.Config{Interval: 6 * time.Hour, Keep: 2, KeepHourly: 3, KeepDaily: 7, KeepWeekly: 4, KeepMonthly: 12, KeepWithin: 25 * time.Hour,
		DisableDrill: true}
	bubble(t, config, func(h *host) {
		for i := range 90 * 4 {
			h.put("tasks", "key", fmt.Sprint(i))
			pass(6 * time.Hour)
			h.settle()
		}
		list, err := h.g.ListBackups(h.Context())
		if err != nil {
			t.Fatal(err)
		}
		kept := map[string]int{}
		for _, b := range list.GetBackups() {
			if b.GetGoes() || len(b.GetReasons()) == 0 {
				t.Errorf("backup %v", b)
			}
			for _, reason := range b.GetReasons() {
				rule, _, _ := strings.Cut(reason, " ")
				kept[rule]++
			}
		}
		if want := map[string]int{"newest": 1, "one": 2, "hourly:": 3, "daily:": 7, "weekly:": 4, "monthly:": 3, "within": 5}; fmt.Sprint(kept) != fmt.Sprint(want) {
			t.Errorf("rules keep %v, want %v", kept, want)
		}
		if sets, backups := len(list.GetSets()), len(list.GetBackups()); sets != backups || len(list.GetSetStatus()) != sets {
			t.Errorf("%d sets are left beside %d backups", sets, backups)
		}
		for _, status := range list.GetSetStatus() {
			if status.GetState() != messages.SetState_SET_STATE_COMPLETE {
				t.Errorf("status %v", status)
			}
		}
	})
}

// TestSetsOfARun: one whose table failed is partial, one that lost a backup thinned.
func TestSetsOfARun(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "b"}, Keep: 1, DisableDrill: true}, func(h *host) {
		h.put("a", "key", "1")
		h.put("b", "key", "1")
		h.backup()
		h.put("a", "key", "2")
		h.backup()
		if err := h.g.CloseTable(h.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		h.backup()
		list, err := h.g.ListBackups(h.Context(), "a") // the sets are of all tables
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, status := range slices.Backward(list.GetSetStatus()) {
			got = append(got, fmt.Sprint(status.GetState(), status.GetFailed(), status.GetGone()))
			if status.GetRunId() != list.GetSets()[i].GetRunId() {
				t.Errorf("status %d is of run %s", i, status.GetRunId())
			}
		}
		want := []string{"SET_STATE_THINNED [] [a]", "SET_STATE_COMPLETE [] []", "SET_STATE_PARTIAL [b] []"}
		if !slices.Equal(got, want) {
			t.Errorf("sets are %q, want %q", got, want)
		}
	})
}

// TestPinsSurviveRestart: a pin is kept by every run until it is removed.
func TestPinsSurviveRestart(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a"}, Keep: 1, DisableDrill: true}, func(h *host) {
		h.put("a", "key", "1")
		h.backup()
		info, err := h.g.PinBackup(h.Context(), &messages.PinBackup{Table: "a", BackupId: "1", Reason: "audit"})
		if err != nil || info.GetPinned() != "audit" || !slices.Contains(info.GetReasons(), "pinned") || info.OwnBytes == nil {
			t.Fatalf("pinned %v, %v", info, err)
		}
		h.stop()
		h.start()
		h.put("a", "key", "2")
		h.backup()
		if left := h.numbers("a"); left != "1 2" {
			t.Errorf("left %s", left)
		}
		detail, err := h.g.ShowBackup(h.Context(), "a", "1")
		if err != nil || detail.GetBackup().GetPinned() != "audit" || detail.GetBackup().GetGoes() {
			t.Errorf("show = %v, %v", detail.GetBackup(), err)
		}
		info, err = h.g.PinBackup(h.Context(), &messages.PinBackup{Table: "a", BackupId: info.GetBackupId(), Unpin: true})
		if err != nil || info.GetPinned() != "" || !info.GetGoes() {
			t.Errorf("unpinned %v, %v", info, err)
		}
		h.stop()
		h.start()
		h.put("a", "key", "3")
		h.backup()
		if left := h.numbers("a"); left != "3" {
			t.Errorf("left %s", left)
		}
		_, err = h.g.PinBackup(h.Context(), &messages.PinBackup{Table: "a", BackupId: "1"})
		wantCode(t, "pin of what is gone", err, messages.Code_CODE_NOT_FOUND)
		for _, m := range []*messages.PinBackup{
			{Table: "Bad Name", BackupId: "1"}, {Table: "a"}, {Table: "a", BackupId: "3", Reason: strings.Repeat("x", 257)},
			{Table: "a", BackupId: "3", Reason: "x", Unpin: true},
		} {
			_, err = h.g.PinBackup(h.Context(), m)
			wantCode(t, fmt.Sprint(m), err, messages.Code_CODE_INVALID_ARGUMENT)
		}
	})
}

// TestHungPin: a backup disk that hangs holds up nobody but who asked.
func TestHungPin(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a"}}, func(h *host) {
		h.backup()
		release := h.fs.hang(h.T, under(backups+"/a/pins", "create", "mkdir"))
		_, err := h.g.PinBackup(h.Context(), &messages.PinBackup{Table: "a", BackupId: "1"})
		wantCode(t, "pin on a hung disk", err, messages.Code_CODE_DEADLINE_EXCEEDED)
		h.put("a", "key", "value")
		release()
		h.settle()
	})
}
