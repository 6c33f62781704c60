package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// fullDisk fails one kind of operation on sstables with ENOSPC, from the first one on, until stopped.
type fullDisk struct {
	kind    string
	refused atomic.Int64
	roomy   atomic.Bool
}

func (f *fullDisk) before(o fileOp) error {
	if o.kind != f.kind || !strings.HasSuffix(o.path, ".sst") || f.roomy.Load() {
		return nil
	}
	f.refused.Add(1)
	return syscall.ENOSPC
}

// fullTable opens a table with small memtables on a disk that is full for sstables.
func fullTable(t *testing.T, mem *vfs.MemFS, full *fullDisk) (d *Directory, s *Store, told chan error) {
	t.Helper()
	fs := &hookFS{FS: mem}
	d = openDirectory(t, fs, func(o *DirectoryOptions) { o.MemTableBytes = 32 << 10 })
	told = make(chan error, 8)
	s = openTable(t, d, func(o *OpenOptions) { o.OnFreeze = func(cause error) { told <- cause } })
	fs.hooks(full.before, nil)
	return d, s, told
}

// checkPatient checks how often Pebble was let try, and that the disk was full at all.
func checkPatient(t *testing.T, full *fullDisk) {
	t.Helper()
	if n := full.refused.Load(); n < 20 || n > 60 {
		t.Errorf("the full disk refused %d times, want a few dozen", n)
	}
}

func TestLastingFullDiskFreezes(t *testing.T) {
	for _, kind := range []string{"create", "write", "sync"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := vfs.NewCrashableMem()
				full := &fullDisk{kind: kind}
				d, s, told := fullTable(t, mem, full)
				start := time.Now()
				acked, errs := pipeline(t, s, random(t), 300)
				if cause := <-told; !errors.Is(cause, syscall.ENOSPC) || len(errs) == 0 || !errors.Is(errs[0], ErrFrozen) {
					t.Errorf("frozen by %v, %d groups refused: %v", cause, len(errs), errs[:min(1, len(errs))])
				}
				if took := time.Since(start); took < defaultFreezeAfter || took > defaultFreezeAfter+2*mostPause {
					t.Errorf("frozen after %v", took)
				}
				checkPatient(t, full)
				start = time.Now()
				closeAll(t, s)
				if took := time.Since(start); took > 0 {
					t.Errorf("Close of the frozen store took %v", took)
				}
				closeAll(t, d)
				checkKept(t, mem, acked)
			})
		})
	}
}

func TestShortFullDiskFreezesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewCrashableMem()
		full := &fullDisk{kind: "create"}
		d, s, _ := fullTable(t, mem, full)
		time.AfterFunc(20*time.Second, func() { full.roomy.Store(true) })
		acked, errs := pipeline(t, s, random(t), 300)
		if len(errs) > 0 || len(acked) != 300 || s.Frozen() {
			t.Errorf("%d groups acknowledged, errors %v, frozen by %v", len(acked), errs, s.FrozenBy())
		}
		checkPatient(t, full)
		// It was the success that counted, not the time: the next full disk has 30 s of its own.
		full.roomy.Store(false)
		time.AfterFunc(20*time.Second, func() { full.roomy.Store(true) })
		if err := s.Flush(); err != nil || s.Frozen() {
			t.Errorf("Flush = %v, frozen by %v", err, s.FrozenBy())
		}
		closeAll(t, s, d)
		checkKept(t, mem, acked)
	})
}

// fullImage is what a kill leaves of a table with more in its WALs than a memtable holds: an open has to flush.
func fullImage(t *testing.T) (image *vfs.MemFS, acked map[string]string) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	full := &fullDisk{kind: "create"}
	d, s, _ := fullTable(t, mem, full)
	acked, errs := pipeline(t, s, random(t), 60)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	image = killed(mem)
	full.roomy.Store(true)
	closeAll(t, s, d)
	return image, acked
}

func TestOpenOnAFullDiskReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image, acked := fullImage(t)
		full := &fullDisk{kind: "create"}
		fs := &hookFS{FS: image}
		fs.hooks(full.before, nil)
		d := openDirectory(t, fs, func(o *DirectoryOptions) { o.MemTableBytes = 32 << 10 })
		start := time.Now()
		_, err := d.Open("t", OpenOptions{})
		if !errors.Is(err, ErrFrozen) || !errors.Is(err, syscall.ENOSPC) || errors.Is(err, messages.ErrDataLoss) {
			t.Errorf("Open = %v, want ErrFrozen by ENOSPC", err)
		}
		checkHint(t, err)
		if took := time.Since(start); took < defaultFreezeAfter || took > defaultFreezeAfter+2*mostPause {
			t.Errorf("Open took %v", took)
		}
		checkPatient(t, full)
		closeAll(t, d)
		checkKept(t, image, acked)
	})
}

func TestContextGivesUpAnOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image, acked := fullImage(t)
		full := &fullDisk{kind: "create"}
		fs := &hookFS{FS: image}
		fs.hooks(full.before, nil)
		d := openDirectory(t, fs, func(o *DirectoryOptions) { o.MemTableBytes = 32 << 10 })
		stopped := errors.New("the host stops")
		for _, wait := range []time.Duration{0, 7300 * time.Millisecond} {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(wait, func() { cancel(stopped) })
			start := time.Now()
			s, err := d.Open("t", OpenOptions{Context: ctx})
			if s != nil || !errors.Is(err, ErrFrozen) || !errors.Is(err, stopped) || time.Since(start) != wait {
				t.Errorf("Open = %v after %v, want ErrFrozen after %v", err, time.Since(start), wait)
			}
		}
		closeAll(t, d)
		checkKept(t, image, acked)
	})
}

// A context that has ended always fails the open, and one that ends later never freezes the store.
func TestContextEndsBeforeOrAfterAnOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDirectory(t, vfs.NewMem())
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Open("t", OpenOptions{Create: true, Context: ended}); !errors.Is(err, context.Canceled) {
			t.Fatalf("Open = %v, want context.Canceled", err)
		}
		for range 100 {
			z := newFreezer(vfs.NewMem(), "/dir", time.Minute, nil)
			(&opening{options: OpenOptions{Context: ended}}).heed(z)()
			if !z.frozen.Load() {
				t.Fatal("the context had ended, and may freeze the store after its open")
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		s := openTable(t, d, func(o *OpenOptions) { o.Context = ctx })
		cancel()
		synctest.Wait()
		mustPut(t, s, "a", "1")
		closeAll(t, s, d)
	})
}

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patience{limit: 10 * time.Second}
		for round := range 2 {
			start := time.Now()
			var pauses []time.Duration
			for {
				pause, over := p.failed()
				if over {
					break
				}
				pauses = append(pauses, pause)
				time.Sleep(pause)
			}
			if took := time.Since(start); took < p.limit || took > p.limit+mostPause {
				t.Errorf("round %d: over after %v", round, took)
			}
			if got := fmt.Sprint(pauses[:9]); got != "[0s 10ms 20ms 40ms 80ms 160ms 320ms 640ms 1s]" {
				t.Errorf("round %d: pauses %v", round, got)
			}
			p.succeeded()
		}
	})
}

// What a full disk still does, and what fails for another reason than a write, neither freezes nor ends a run.
func TestOnlyAManifestEndsARunOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		if err := mem.MkdirAll("/dir", 0o755); err != nil {
			t.Fatal(err)
		}
		fs := &hookFS{FS: mem}
		z := newFreezer(fs, "/dir", time.Minute, nil)
		write := func(name string) {
			t.Helper()
			f, err := z.Create("/dir/"+name, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(f.Sync(), f.Close()); err != nil {
				t.Fatal(err)
			}
		}
		fs.hooks(func(o fileOp) error {
			if strings.HasSuffix(o.path, ".bad") {
				return errFault
			}
			return nil
		}, nil)
		for range 100 {
			_, opened := z.Open("/dir/x.bad")
			_, stat := z.Stat("/dir/x.bad")
			for _, err := range []error{opened, stat, z.Remove("/dir/x.bad"), z.RemoveAll("/dir/x.bad")} {
				if err != errFault {
					t.Errorf("err = %v", err)
				}
			}
			_, err := z.Create("/staging/x.bad", vfs.WriteCategoryUnspecified)
			if err != errFault {
				t.Errorf("Create elsewhere = %v", err)
			}
		}
		if !z.patience.since.IsZero() {
			t.Error("a read, a removal or another directory's file counts as a failed write")
		}
		if err := z.Rename("/dir/x", "/dir/y.bad"); err != errFault {
			t.Errorf("Rename = %v", err)
		}
		write("1.sst")
		write("1.log")
		if z.patience.since.IsZero() {
			t.Error("an sstable that was written ends the run")
		}
		write("MANIFEST-1")
		if !z.patience.since.IsZero() || z.frozen.Load() {
			t.Errorf("the MANIFEST does not end the run; frozen by %v", z.why())
		}
	})
}
