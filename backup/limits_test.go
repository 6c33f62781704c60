package backup_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// grown is how long a file has become, without a block on the disk.
const grown = 20 << 30

func grow(t *testing.T, path string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	must(t, errors.Join(f.Truncate(grown), f.Close()))
}

// checkAllocated calls work, which must not read a file as a whole.
func checkAllocated(t *testing.T, work func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	work()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 256<<20 {
		t.Errorf("%d MiB were allocated", got>>20)
	}
}

// TestGrownRecordsAreNotRead lets the file of each record of a backup grow to 20 GiB.
func TestGrownRecordsAreNotRead(t *testing.T) {
	ctx := context.Background()
	for _, file := range []string{"manifest.json", "manifest.sha256"} {
		t.Run(file, func(t *testing.T) {
			g := newGallery(t)
			grow(t, g.file(3, file))
			checkAllocated(t, func() {
				backups, err := g.d.List(table)
				must(t, err)
				if !errors.As(backups[0].Fault, new(*disk.LengthError)) || backups[1].Fault != nil {
					t.Errorf("faults are %v and %v", backups[0].Fault, backups[1].Fault)
				}
				verified, err := g.d.Verify(ctx, table, g.ids[3], backup.VerifyOptions{})
				must(t, err)
				if verified.Proof.GetVerdict() != messages.Verdict_VERDICT_RED || verified.Proof.GetFile() != file {
					t.Errorf("proof is %v", verified.Proof)
				}
			})
		})
	}
	t.Run("proofs", func(t *testing.T) {
		g := newGallery(t)
		grow(t, filepath.Join(g.path, table, "proofs", g.ids[3]+".jsonl"))
		checkAllocated(t, func() {
			backups, err := g.d.List(table)
			must(t, err)
			if !backups[0].Red || backups[1].Red {
				t.Errorf("red are %v and %v", backups[0].Red, backups[1].Red)
			}
			verified, err := g.d.Verify(ctx, table, g.ids[3], backup.VerifyOptions{})
			must(t, err)
			if !errors.As(verified.Unkept, new(*disk.LengthError)) {
				t.Errorf("a proof was kept in a file that must not be read: %v", verified.Unkept)
			}
		})
	})
	t.Run("pin", func(t *testing.T) {
		g := newGallery(t)
		grow(t, filepath.Join(g.path, table, "pins", g.ids[3]+".json"))
		checkAllocated(t, func() {
			backups, err := g.d.List(table)
			must(t, err)
			if !strings.Contains(backups[0].Pinned, fmt.Sprint(grown)) {
				t.Errorf("the backup is pinned because %q", backups[0].Pinned)
			}
		})
	})
	t.Run("set", func(t *testing.T) {
		g := newGallery(t)
		grow(t, filepath.Join(g.path, "sets", "01ARZ3NDEKTSV4RRFFQ69G5FAV.json"))
		checkAllocated(t, func() {
			if sets, err := g.d.Sets(); len(sets) > 0 || err != nil {
				t.Errorf("sets are %v: %v", sets, err)
			}
		})
	})
}

// TestGrownFileIsNotHashedToItsEnd lets each file of a backup grow, and one to an end that is nowhere near.
func TestGrownFileIsNotHashedToItsEnd(t *testing.T) {
	ctx := context.Background()
	for _, by := range []string{"one byte", "20 GiB"} {
		t.Run(by, func(t *testing.T) {
			g := newGallery(t)
			for _, name := range g.names(t, 3) {
				if !strings.HasPrefix(name, "db/") {
					continue
				}
				path := g.file(3, name)
				data, err := os.ReadFile(path)
				must(t, err)
				size := int64(grown)
				if by == "one byte" {
					size = int64(len(data)) + 1
				}
				must(t, os.Truncate(path, size))
				var read int64
				verified, err := g.d.Verify(ctx, table, g.ids[3], backup.VerifyOptions{Progress: func(n int64) { read += n }})
				must(t, err)
				want := fmt.Sprintf("it has %d B, the manifest says %d B", size, len(data))
				if verified.Proof.GetFile() != name || !strings.Contains(verified.Proof.GetReason(), want) {
					t.Errorf("%s: proof is %v, want %q", name, verified.Proof, want)
				}
				if read > 1<<30 {
					t.Errorf("%s: %d B were read", name, read)
				}
				to := t.TempDir()
				left, err := g.d.Remains(backups(t, g)[0], nil)
				must(t, err)
				if !left.Proven || len(left.Damage) != 1 {
					t.Errorf("%s: proven %v, damage %q", name, left.Proven, left.Damage)
				}
				if err := backup.CopyRemains(ctx, vfs.Default, nil, left, to, backup.VerifyOptions{}); err != nil {
					t.Errorf("%s: restore of what can be read: %v", name, err)
				}
				if got, err := os.ReadFile(filepath.Join(to, filepath.Base(name))); string(got) != string(data) || err != nil {
					t.Errorf("%s: the restored file has %d B, not the %d of the manifest: %v", name, len(got), len(data), err)
				}
				must(t, os.Truncate(path, int64(len(data))))
			}
		})
	}
}

func backups(t *testing.T, g *gallery) []backup.Backup {
	t.Helper()
	list, err := g.d.List(table)
	must(t, err)
	return list
}
