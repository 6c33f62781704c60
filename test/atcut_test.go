package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// TestBackupsUnderManySenders: whatever is written while tables are cut and counted, each backup holds exactly what its label
// says. In the middle the two tables change their accounting.
func TestBackupsUnderManySenders(t *testing.T) {
	fs := vfs.NewMem()
	tables := []string{"first", "second"}
	for life := range 3 {
		system := quietSystem()
		g, err := actors.Start(t.Context(), system, actors.Config{
			Dir: "/g", Tables: tables, AtCut: tables[life%2 : life%2+1], FS: fs, DisableSchedule: true, Keep: 100, MemTableBytes: 256 << 10})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var senders sync.WaitGroup
		for i := range 8 {
			rng := rand.New(rand.NewPCG(uint64(life), uint64(i)))
			senders.Go(func() { send(t, ctx, g.Table(tables[i%2]), rng) })
		}
		for range 4 {
			report, err := g.BackupAll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range report.GetSet().GetResults() {
				if row.GetOutcome() == messages.Outcome_OUTCOME_FAILED {
					t.Fatalf("row = %v", row)
				}
				path := fs.PathJoin("/g", store.BackupsDir, row.GetTable(), row.GetBackupId())
				if err := checkBackup(fs, path); err != nil {
					t.Errorf("life %d, %s: %v", life, path, err)
				}
			}
		}
		cancel()
		senders.Wait()
		if err := g.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		system.Shutdown()
	}
}

// send writes at random until ctx ends.
func send(t *testing.T, ctx context.Context, table *actors.Table, rng *rand.Rand) {
	key := func() []byte { return fmt.Appendf(nil, "%04d", rng.IntN(5000)) }
	for ctx.Err() == nil {
		var err error
		switch rng.IntN(20) {
		case 0:
			at := rng.IntN(500)
			_, err = table.DeleteRange(ctx, fmt.Appendf(nil, "%03d", at), fmt.Appendf(nil, "%03d", at+1))
		case 1, 2, 3:
			_, err = table.Delete(ctx, key())
		case 4:
			absent := messages.IfAbsent(key())
			_, err = table.Write(ctx, &messages.Write{
				Conditions: []*messages.Condition{absent},
				Ops:        []*messages.Op{messages.PutOp(absent.GetKey(), []byte("new"))},
			})
			if errors.Is(err, messages.ErrConditionFailed) {
				err = nil
			}
		default:
			_, err = table.Put(ctx, key(), make([]byte, rng.IntN(200)))
		}
		if err != nil && ctx.Err() == nil {
			t.Errorf("write: %v", err)
			return
		}
	}
}
