package actors_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestDropOfADamagedTable keeps all that it has as undo, and its name can be used again.
func TestDropOfADamagedTable(t *testing.T) {
	current := dir + "/tables/odd/current"
	for name, damage := range map[string]func(fs vfs.FS) error{
		"lost": func(fs vfs.FS) error { return fs.Remove(current) },
		"garbage": func(fs vfs.FS) error {
			f, err := fs.Create(current, vfs.WriteCategoryUnspecified)
			if err != nil {
				return err
			}
			if _, err := f.Write([]byte("garbage")); err != nil {
				return err
			}
			return f.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, actors.Config{Tables: []string{"tasks", "odd"}}, func(h *host) {
				h.put("odd", "k", "v")
				h.stop()
				if err := damage(h.fs.FS); err != nil {
					t.Fatal(err)
				}
				h.start()
				h.wantState("odd", quarantined)
				if err := h.g.Drop(h.Context(), drop("odd")); err != nil {
					t.Fatalf("drop: %v", err)
				}
				health, err := h.g.Health(h.Context())
				if err != nil || len(health.GetUndo()) != 1 || len(health.GetUnconfigured()) > 0 {
					t.Errorf("undo %v, unconfigured %v, %v", health.GetUndo(), health.GetUnconfigured(), err)
				}
				if err := h.g.CreateTable(h.Context(), "odd", true); err != nil {
					t.Errorf("create: %v", err)
				}
				h.wantValue("odd", "k", "")
			})
		})
	}
}

// TestDropAgain: a drop that is asked for again makes durable what the first could not.
func TestDropAgain(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "old"}}, func(h *host) {
		h.put("old", "k", "v")
		removed := false
		defer h.fs.on(under(dir+"/tables/old/current", "remove"), func(fileOp) error { removed = true; return nil })()
		repair := h.fs.on(under(dir+"/tables/old", "sync"), func(o fileOp) error {
			if removed && o.path == dir+"/tables/old" {
				return errInjected
			}
			return nil
		})
		if err := h.g.Drop(h.Context(), drop("old")); err == nil {
			t.Error("a drop whose directory cannot be fsynced succeeds")
		}
		repair()
		syncs := 0
		defer h.fs.on(under(dir+"/tables/old", "sync"), func(o fileOp) error {
			if o.path == dir+"/tables/old" {
				syncs++
			}
			return nil
		})()
		if err := h.g.Drop(h.Context(), drop("old")); err != nil || syncs == 0 {
			t.Errorf("drop again = %v with %d fsyncs of the directory", err, syncs)
		}
	})
}

// TestDropOfAClosedTable backs it up as well.
func TestDropOfAClosedTable(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "old"}}, func(h *host) {
		h.put("old", "k", "v")
		if err := h.g.CloseTable(h.Context(), "old"); err != nil {
			t.Fatal(err)
		}
		if err := h.g.DropTable(h.Context(), "old"); err != nil {
			t.Fatalf("drop: %v", err)
		}
		detail, err := h.g.ShowBackup(h.Context(), "old", "1")
		if err != nil || detail.GetBackup().GetPinned() == "" || detail.GetBackup().GetCount() != 1 {
			t.Errorf("last backup: %v, %v", detail.GetBackup(), err)
		}
	})
}

// TestReadOnlyRefusals are no refused conditions: an Update is not tried again.
func TestReadOnlyRefusals(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "visits", "1")
		h.stop()
		h.config.ReadOnly = true
		h.start()
		calls := 0
		_, err := h.counters().Update(h.Context(), "visits", func(n int, _ bool) (int, error) { calls++; return n + 1, nil })
		wantCode(t, "update", err, messages.Code_CODE_PERMISSION_DENIED)
		if calls != 1 {
			t.Errorf("change was called %d times", calls)
		}
		wantCode(t, "create", h.g.CreateTable(h.Context(), "new", false), messages.Code_CODE_PERMISSION_DENIED)
		wantCode(t, "drop", h.g.DropTable(h.Context(), "tasks"), messages.Code_CODE_PERMISSION_DENIED)
		_, err = h.g.BackupAll(h.Context())
		wantCode(t, "backup", err, messages.Code_CODE_PERMISSION_DENIED)
	})
}
