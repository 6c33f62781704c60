package actors_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

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

// TestOpenedRedBackupIsKept as long as it is read, though retention does not count it: what lies beside it is kept by its own
// rules, and is unharmed when it goes.
func TestOpenedRedBackupIsKept(t *testing.T) {
	bubble(t, actors.Config{Keep: 2}, func(h *host) {
		backUp := func(key string) string {
			h.put("tasks", key, strings.Repeat("v", 1000))
			return h.backup()["tasks"].GetBackupId()
		}
		backUp("a")
		red := backUp("b")
		names, err := h.fs.List(h.backupPath("tasks", red))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasPrefix(name, "OPTIONS-") { // its rows can be read
				h.damage(h.backupPath("tasks", red) + "/" + name)
			}
		}
		if _, err := h.g.VerifyBackup(h.Context(), "tasks", red); !errors.Is(err, messages.ErrDataLoss) {
			t.Fatalf("verify: %v", err)
		}
		o := h.open(red, true)
		beside := []string{backUp("c"), backUp("d")}
		h.prune(&messages.PruneBackups{})
		if got := h.numbers("tasks"); got != "2 3 4" {
			t.Errorf("backups %s while the red one is read, want 2 3 4", got)
		}
		if rows, err := readAll(h.Context(), o); err != nil || rows != 2 {
			t.Errorf("%d rows, %v", rows, err)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
		h.prune(&messages.PruneBackups{})
		if got := h.numbers("tasks"); got != "3 4" {
			t.Errorf("backups %s, want 3 4", got)
		}
		for _, id := range beside {
			if _, err := h.g.VerifyBackup(h.Context(), "tasks", id); err != nil {
				t.Errorf("verify %s: %v", id, err)
			}
		}
	})
}
