package actors_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestReadersOfADiskThatRefusesWrites does what the commands get, scan, export, health, tables, backups, events and verify do in
// place, on a disk that is mounted for reading only, and on a full one. Each answers, and the disk stays as it is.
func TestReadersOfADiskThatRefusesWrites(t *testing.T) {
	for name, refusal := range map[string]struct {
		kinds []string
		cause error
	}{
		"mounted for reading only": {changing, syscall.EROFS},
		"full":                     {[]string{"create", "reuse", "write", "link", "mkdir", "sync"}, syscall.ENOSPC},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
				h.put("tasks", "key", "value")
				h.backup()
				h.put("tasks", "later", "value")
				h.stop()
				before := h.tree("/")
				h.config.ReadOnly, h.config.Tables, h.config.Visit, h.config.DisableSchedule = true, nil, true, true
				var refused atomic.Int64
				h.fs.on(under(dir, refusal.kinds...), func(o fileOp) error {
					if o.kind != "lock" { // a reader asks for a lock, and goes on without it
						refused.Add(1)
						h.Logf("%s %s", o.kind, o.path)
					}
					return refusal.cause
				})
				h.start()
				ctx := h.Context()
				h.wantValue("tasks", "key", "value")
				h.wantValue("tasks", "later", "value")
				if page, err := h.g.Table("tasks").Scan(ctx, &messages.Scan{}); err != nil || len(page.GetEntries()) != 2 {
					t.Errorf("scan: %v, %v", page, err)
				}
				rows := 0
				if err := h.g.Table("tasks").Walk(ctx, &messages.Scan{}, func(_, _ []byte) error { rows++; return nil }); err != nil || rows != 2 {
					t.Errorf("export: %d rows, %v", rows, err)
				}
				for _, table := range []string{"tasks", "other"} {
					h.wantState(table, open)
					if row := h.health(table); row.GetBackups() != 1 || !row.Knows(messages.Figure_FIGURE_ROWS) {
						t.Errorf("health: %v", row)
					}
				}
				list, err := h.g.ListBackups(ctx)
				if err != nil || len(list.GetBackups()) != 2 || len(list.GetSets()) != 1 {
					t.Errorf("backups: %v, %v", list, err)
				}
				if proof, err := h.g.VerifyBackup(ctx, "tasks", ""); err != nil || proof.GetVerdict() != messages.Verdict_VERDICT_PROVEN {
					t.Errorf("verify: %v, %v", proof, err)
				}
				b, err := h.g.OpenBackup(ctx, "tasks", "", false)
				if err != nil {
					t.Fatal(err)
				}
				if value, err := b.Get([]byte("key")); string(value) != "value" || err != nil {
					t.Errorf("get from a backup: %q, %v", value, err)
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
				if _, err := h.g.Losses(ctx, &messages.ListLosses{}); err != nil {
					t.Errorf("losses: %v", err)
				}
				for _, err := range h.g.Events(ctx, &messages.ListEvents{}) {
					if err != nil {
						t.Errorf("events: %v", err)
					}
				}
				pass(time.Hour)
				h.settle()
				h.stop()
				if n := refused.Load(); n > 0 {
					t.Errorf("%d writes were tried", n)
				}
				if after := h.tree("/"); !slices.Equal(after, before) {
					t.Errorf("the disk was\n%s\nand is\n%s", fmt.Sprint(before), fmt.Sprint(after))
				}
			})
		})
	}
}
