package actors_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// open opens a backup of tasks.
func (h *host) open(id string, red bool) *actors.OpenedBackup {
	h.Helper()
	o, err := h.g.OpenBackup(h.Context(), "tasks", id, red)
	if err != nil {
		h.Fatal(err)
	}
	return o
}

// readAll reads an opened backup by each of its methods, and joins the errors.
func readAll(ctx context.Context, o *actors.OpenedBackup) (rows int, err error) {
	_, getErr := o.Get([]byte("a"))
	_, pageErr := o.Page(&messages.Scan{})
	walkErr := o.Walk(ctx, nil, func(_, _ []byte) error { rows++; return nil })
	for what, one := range map[string]error{"get": getErr, "page": pageErr, "walk": walkErr} {
		if one != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", what, one))
		}
	}
	return rows, err
}

// TestOpenedBackupIsKept by retention as long as somebody reads it, and no longer.
func TestOpenedBackupIsKept(t *testing.T) {
	bubble(t, actors.Config{Keep: 1}, func(h *host) {
		h.put("tasks", "a", "1")
		h.backup()
		o := h.open("", false)
		for i := range 3 {
			h.put("tasks", "a", fmt.Sprint(i+2))
			h.backup()
		}
		if got := h.numbers("tasks"); got != "1 4" {
			t.Errorf("backups %s, want 1 4", got)
		}
		if value, err := o.Get([]byte("a")); string(value) != "1" || err != nil {
			t.Errorf("a = %q, %v", value, err)
		}
		if _, err := o.Get([]byte("b")); !errors.Is(err, messages.ErrNotFound) {
			t.Errorf("b: %v", err)
		}
		if rows, err := readAll(h.Context(), o); rows != 1 || err != nil {
			t.Errorf("%d rows, %v", rows, err)
		}
		if err := errors.Join(o.Close(), o.Close()); err != nil {
			t.Error(err)
		}
		if _, err := readAll(h.Context(), o); err == nil || strings.Count(err.Error(), "closed") != 3 {
			t.Errorf("a backup that is closed is read: %v", err)
		}
		h.prune(&messages.PruneBackups{})
		if got := h.numbers("tasks"); got != "4" {
			t.Errorf("backups %s, want 4", got)
		}
	})
}

// TestStopClosesOpenedBackups: also beside a walk, which ends with an error, and what is opened afterwards is refused.
func TestStopClosesOpenedBackups(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		for i := range 40 {
			h.put("tasks", fmt.Sprintf("%02d", i), strings.Repeat("v", 100<<10))
		}
		h.backup()
		o, walked := h.open("1", false), h.open("1", false)
		n := 0
		err := walked.Walk(h.Context(), nil, func(_, _ []byte) error {
			if n++; n == 1 {
				h.stop()
			}
			return nil
		})
		if err == nil || n == 40 {
			t.Errorf("a walk beside a stop has read %d rows, %v", n, err)
		}
		if _, err := readAll(h.Context(), o); err == nil || strings.Count(err.Error(), "closed") != 3 {
			t.Errorf("a backup is read after the stop: %v", err)
		}
		if err := errors.Join(o.Close(), walked.Close()); err != nil {
			t.Error(err)
		}
		if o, err := h.g.OpenBackup(h.Context(), "tasks", "1", false); !errors.Is(err, messages.ErrUnavailable) {
			t.Errorf("opened after the stop: %v, %v", o, err)
		}
		h.start() // nothing holds the directories
	})
}

// TestRestoreOfARedBackup: only where it is asked for by name; what can be read is what serves then, counted at the next cut.
func TestRestoreOfARedBackup(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		for _, key := range strings.Fields("a b c d e f g h") {
			h.put("tasks", key, strings.Repeat(key, 1000))
		}
		id := h.backup()["tasks"].GetBackupId()
		h.put("tasks", "late", "v")
		h.damage(h.backupPath("tasks", id) + "/" + h.walOf(id))
		_, err := h.g.VerifyBackup(h.Context(), "tasks", id)
		if !errors.Is(err, messages.ErrDataLoss) {
			t.Fatalf("verify: %v", err)
		}
		for what, m := range map[string]*messages.RestoreTable{"newest": {Table: "tasks"}, "by name": {Table: "tasks", BackupId: id}} {
			if _, err := h.g.Restore(h.Context(), m); err == nil {
				t.Errorf("restored a red backup, %s", what)
			}
		}
		h.wantValue("tasks", "late", "v")
		r := h.restore(&messages.RestoreTable{Table: "tasks", BackupId: id, Red: true}).GetRestored()
		if r.GetBackupId() != id || r.GetPosition().GetSeq() != r.GetParent().GetSeq() || r.GetLostTo() != 9 {
			t.Errorf("restored %v", r)
		}
		h.wantValue("tasks", "late", "")
		h.wantValue("tasks", "c", strings.Repeat("c", 1000))
		h.put("tasks", "after", "v")
		pass(time.Minute)
		row := h.backup()["tasks"]
		if row.GetOutcome() != messages.Outcome_OUTCOME_BACKED_UP {
			t.Errorf("next backup %v", row)
		}
		if proof, err := h.g.VerifyBackup(h.Context(), "tasks", ""); err != nil || proof.GetRows() != 9 {
			t.Errorf("proof of what came of it: %v, %v", proof, err)
		}
	})
}

// walOf is one of a backup's files that no row lies in.
func (h *host) walOf(id string) string {
	h.Helper()
	names, err := h.fs.List(h.backupPath("tasks", id))
	if err != nil {
		h.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "OPTIONS-") {
			return name
		}
	}
	h.Fatalf("no such file among %v", names)
	return ""
}
