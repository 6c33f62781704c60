package backup

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestDrain waits for what goes on, however long that takes, and lets nothing begin.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := Open(Options{FS: vfs.NewMem(), Path: "/backups", StoreID: "01ARZ3NDEKTSV4RRFFQ69G5FAV"})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.begin(); err != nil {
			t.Fatal(err)
		}
		drained := false
		go func() {
			d.Drain()
			drained = true
		}()
		synctest.Wait()
		if drained {
			t.Error("drained beside an operation that goes on")
		}
		if err := d.begin(); !errors.Is(err, ErrClosed) {
			t.Errorf("an operation begins: %v", err)
		}
		d.end()
		synctest.Wait()
		if !drained {
			t.Error("not drained")
		}
		d.Drain()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}
