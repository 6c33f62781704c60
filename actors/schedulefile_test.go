package actors_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
)

// TestLostSchedule: without its file, or with a damaged one, the sets tell when the last run was.
func TestLostSchedule(t *testing.T) {
	inWorld(t, actors.Config{Interval: day}, func(w *world) {
		w.up()
		pass(time.Minute)
		last := w.started()[0]
		for _, text := range []string{"", "{damaged"} {
			w.stop()
			if err := w.disk.Remove(dir + "/schedule.json"); err != nil {
				t.Fatal(err)
			}
			if text != "" {
				f, err := w.disk.Create(dir+"/schedule.json", vfs.WriteCategoryUnspecified)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = f.Write([]byte(text))
				_ = f.Close()
			}
			w.up()
			w.wantNext(last.Add(day))
			pass(day - time.Hour)
			pass(time.Until(last.Add(day)))
			w.settle()
			last = last.Add(day)
		}
		w.wantRuns(3, "after two days")
	})
}

// TestNoSchedule: no run, no file, and no next run.
func TestNoSchedule(t *testing.T) {
	for name, set := range map[string]func(*actors.Config){
		"disabled":  func(c *actors.Config) { c.DisableSchedule = true },
		"read-only": func(c *actors.Config) { c.ReadOnly = true },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, actors.Config{Interval: time.Hour}, func(w *world) {
				w.up()
				w.stop()
				set(&w.config)
				w.up()
				if !w.config.ReadOnly {
					w.backup()
				}
				before := len(w.started())
				pass(5 * time.Hour)
				w.wantRuns(before, "without a schedule")
				report, err := w.g.Health(w.Context())
				if err != nil || report.GetNextRun() != nil {
					t.Errorf("next run = %v, %v", report.GetNextRun(), err)
				}
				for _, path := range w.tree(dir) {
					if strings.Contains(path, "schedule.json") {
						t.Errorf("found %s", path)
					}
				}
			})
		})
	}
}

// TestHungScheduleFile holds up a run no longer than CopyTimeout, and Stop no longer than its context.
func TestHungScheduleFile(t *testing.T) {
	inWorld(t, actors.Config{Interval: day}, func(w *world) {
		w.up()
		w.put("tasks", "key", "value")
		release := w.fs.hang(w.T, under(dir+"/schedule.json.aside", "create"))
		begin := time.Now()
		w.wantRow(w.backup()["tasks"], backedUp)
		if took := time.Since(begin); took > 61*time.Second {
			t.Errorf("the run took %v", took)
		}
		if err := w.g.Stop(timeout(w.T, time.Second)); err == nil {
			t.Error("stop gave the directory free while a write to it hangs")
		}
		release()
		w.settle()
		w.up()
		w.wantRow(w.backup()["tasks"], carried)
	})
}

func timeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
