package backup_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabiondb/gabion/backup"
)

// TestWorkersReadAtOnce: with two of them the first file waits until the second is read; with one that would never come.
func TestWorkersReadAtOnce(t *testing.T) {
	disk, d, _, ids := pairOnDisk(t)
	for _, restore := range []bool{false, true} {
		for _, workers := range []int{2, 0} {
			must(t, disk.mem.RemoveAll("/data/to"))
			must(t, disk.mem.MkdirAll("/data/to", 0o755))
			var mu sync.Mutex
			first, met := "", make(chan struct{})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if workers < 2 {
				cancel()
			}
			disk.hook(func(op, path string) error {
				if op != "read" || !strings.Contains(path, "/db/") {
					return nil
				}
				mu.Lock()
				mine := first == "" || first == path
				switch {
				case first == "":
					first = path
				case !mine:
					select {
					case <-met:
					default:
						close(met)
					}
				}
				mu.Unlock()
				if !mine {
					return nil
				}
				select {
				case <-met:
					return nil
				case <-ctx.Done():
					return errAlone
				}
			}, nil)
			_, err := verifyOrRestore(t, d, disk, ids[0], restore, backup.VerifyOptions{Workers: workers})
			cancel()
			disk.hook(nil, nil)
			if alone := errors.Is(err, errAlone); alone != (workers < 2) || !alone && err != nil {
				t.Errorf("restore %v by %d: %v", restore, workers, err)
			}
		}
	}
}

var errAlone = errors.New("nobody else reads")
