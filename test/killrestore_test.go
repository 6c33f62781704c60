package test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// killRestoreDir is the directory of the process that TestKillInARestore kills.
const killRestoreDir = "GABION_TEST_KILL_RESTORE_DIR"

var killRestoreTables = []string{"other", "rows"}

func killRestoreConfig(dir string) actors.Config {
	return actors.Config{Dir: dir, Tables: killRestoreTables, DisableSchedule: true, DisableDrill: true, UndoLife: time.Hour}
}

// restoreForEver restores the first backup of rows, and undoes that, until it is killed. Before each it says so.
func restoreForEver(dir string) (status int) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent
		os.Exit(3)
	}()
	ctx := context.Background()
	g, err := actors.Start(ctx, quietSystem(), killRestoreConfig(dir))
	for undo := false; err == nil; undo = !undo {
		fmt.Println("restoring")
		m := &messages.RestoreTable{Table: "rows", Undo: undo}
		if !undo {
			m.BackupId = "1"
		}
		_, err = g.Restore(ctx, m)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestKillInARestore kills a process that restores a table, with SIGKILL, at random instants: the next one serves its rows before,
// or those of the backup, and sweeps what was unfinished; the other table is whole.
func TestKillInARestore(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	var was, old map[string]string
	inLife(t, dir, func(g *actors.Gabion) {
		was = fillRows(t, g, 0, 300)
		if _, err := g.BackupAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		old = fillRows(t, g, 200, 400)
	})
	served := map[string]int{}
	for kill := range 12 {
		killRestoring(t, dir, rng)
		inLife(t, dir, func(g *actors.Gabion) {
			switch rows := readRows(t, g, "rows"); {
			case maps.Equal(rows, was):
				served["restored"]++
			case maps.Equal(rows, old):
				served["old"]++
			default:
				t.Fatalf("after kill %d the table has %d rows, not %d, nor %d", kill+1, len(rows), len(was), len(old))
			}
			if rows := readRows(t, g, "other"); len(rows) != 400 {
				t.Errorf("the other table has %d rows", len(rows))
			}
		})
		names, err := os.ReadDir(dir + "/tables/rows")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasPrefix(name.Name(), ".pending-") {
				t.Errorf("after kill %d: not swept: %s", kill+1, name.Name())
			}
		}
	}
	t.Logf("12 kills left %v", served)
}

// inLife runs do with a Gabion on dir, and stops it.
func inLife(t *testing.T, dir string, do func(*actors.Gabion)) {
	t.Helper()
	system := quietSystem()
	defer system.Shutdown()
	g, err := actors.Start(t.Context(), system, killRestoreConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	do(g)
	if err := g.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// fillRows writes the rows with these numbers to each table, and returns those of one.
func fillRows(t *testing.T, g *actors.Gabion, from, to int) map[string]string {
	t.Helper()
	for _, table := range killRestoreTables {
		for i := from; i < to; i++ {
			if _, err := g.Table(table).Put(t.Context(), key(i), fmt.Appendf(nil, "%d of %d", i, from)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return readRows(t, g, "rows")
}

func readRows(t *testing.T, g *actors.Gabion, table string) map[string]string {
	t.Helper()
	rows := map[string]string{}
	if err := g.Table(table).Walk(t.Context(), nil, func(key, value []byte) error {
		rows[string(key)] = string(value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return rows
}

// killRestoring lets a process restore, and kills it some restores later.
func killRestoring(t *testing.T, dir string, rng *rand.Rand) {
	t.Helper()
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), killRestoreDir+"="+dir)
	stdin, err := victim.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for range 1 + rng.IntN(3) {
		if !lines.Scan() {
			t.Fatalf("the victim ended by itself: %v", victim.Wait())
		}
	}
	<-time.After(time.Duration(rng.Int64N(int64(60 * time.Millisecond))))
	if err := victim.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = victim.Wait() // it was killed
}
