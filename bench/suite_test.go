package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestMeasure measures each load on both tables, and the disk, and leaves nothing running. Each load has no time, so that a busy
// machine changes nothing.
func TestMeasure(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("/d", 0o755); err != nil {
		t.Fatal(err)
	}
	var told []string
	o := Options{FS: fs, Dir: "/d", Rows: 2500, ValueBytes: 100, Lasts: time.Nanosecond, Tell: func(what string) { told = append(told, what) }}
	r, err := Measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Loads) != 12 || r.Limit == "" || r.Machine.Processor == "" || r.Machine.FileSystem == "" || r.CacheBytes == 0 || r.Disk.SyncP50 <= 0 || r.Disk.SyncP99 < r.Disk.SyncP50 || r.Disk.WriteMiB <= 0 || len(told) != 15 {
		t.Errorf("%+v\ntold %q", r, told)
	}
	for _, row := range r.Loads {
		// A put writes at least its key and value, to the log.
		if len(row.Samples) != 1 || row.Samples[0].Ops == 0 || strings.HasPrefix(row.Workload, "put") && row.Samples[0].Written < 1 {
			t.Errorf("%+v", row)
		}
	}
	if names, err := fs.List("/d"); err != nil || strings.Join(names, " ") != "data" {
		t.Errorf("left %q, %v", names, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	o.Dir, o.Tell = "/e", func(what string) {
		if what == "get, 1 caller, at_cut" {
			cancel()
		}
	}
	if err := fs.MkdirAll("/e", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Measure(ended, o); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}

// TestLimit names what the figures show.
func TestLimit(t *testing.T) {
	for _, c := range []struct {
		s    Sample
		d    Disk
		want string
	}{
		{Sample{Busy: 0.95, P50: 900}, Disk{SyncP50: 500}, "the processors"},
		{Sample{Busy: 0.2, P50: 900}, Disk{SyncP50: 500}, "the fsync"},
		{Sample{Busy: 0.2, P50: 450}, Disk{SyncP50: 500}, "the fsync"},
		{Sample{Busy: 0.2, P50: 9000}, Disk{SyncP50: 500}, "neither"},
	} {
		if got := limit(c.s, c.d); !strings.HasPrefix(got, c.want) {
			t.Errorf("%+v on %+v is limited by %q, want %q", c.s, c.d, got, c.want)
		}
	}
}
