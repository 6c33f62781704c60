package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Disk is what a disk did by itself, with nothing in between.
type Disk struct {
	// SyncP50 and SyncP99 are of the time, in microseconds, that a write of 4 KiB at the end of a file and its fsync take.
	SyncP50 float64 `json:"sync_p50_us"`
	SyncP99 float64 `json:"sync_p99_us"`
	// WriteMiB is how many MiB a second are written one after another, the fsync at the end included.
	WriteMiB float64 `json:"write_mib_per_second"`
}

const (
	syncBytes  = 4 << 10
	writeBytes = 1 << 20
	// mostWritten bounds the room that a probe takes.
	mostWritten = 256 << 20
)

// ProbeDisk measures the disk of dir for as long as lasts, in a file that it makes and removes.
func ProbeDisk(ctx context.Context, fs vfs.FS, dir string, lasts time.Duration) (d Disk, err error) {
	path := fs.PathJoin(dir, "probe")
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return d, fmt.Errorf("probe disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), fs.Remove(path)) }()
	h, block := newHistogram(), NewKeys(1, writeBytes, 1).ValueOf(KeyOf(0))
	for end := time.Now().Add(lasts / 2); time.Now().Before(end) || h.TotalCount() == 0; {
		if ctx.Err() != nil {
			return d, ctx.Err()
		}
		began := time.Now()
		if _, err := f.Write(block[:syncBytes]); err != nil {
			return d, fmt.Errorf("probe disk: write: %w", err)
		}
		if err := f.SyncData(); err != nil {
			return d, fmt.Errorf("probe disk: sync: %w", err)
		}
		_ = h.RecordValue(min(int64(time.Since(began)), mostLatency))
	}
	d.SyncP50, d.SyncP99 = float64(h.ValueAtQuantile(50))/1e3, float64(h.ValueAtQuantile(99))/1e3
	began, written := time.Now(), 0
	for written == 0 || time.Since(began) < lasts/2 && written < mostWritten {
		if ctx.Err() != nil {
			return d, ctx.Err()
		}
		if _, err := f.Write(block); err != nil {
			return d, fmt.Errorf("probe disk: write: %w", err)
		}
		written += writeBytes
	}
	if err := f.SyncData(); err != nil {
		return d, fmt.Errorf("probe disk: sync: %w", err)
	}
	d.WriteMiB = float64(written) / (1 << 20) / time.Since(began).Seconds()
	return d, nil
}
