package ops

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// safeBuffer is a log that is read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestDayOfServe: a server by a configuration file, on the real file system, for a virtual day of writes, hourly runs and
// three deploys. The socket is left out: a bubble's time stands still while a socket waits.
func TestDayOfServe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gabion.yaml")
	dir := filepath.Join(t.TempDir(), "d")
	text := fmt.Sprintf("dir: %s\ntables: [task_queue, mailbox]\ninterval: 1h\nkeep: 3\ndisable_socket: true\nlog:\n  format: json\n  level: warn\n", dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := LoadConfig(Sources{File: file})
	if err != nil {
		t.Fatal(err)
	}
	log := &safeBuffer{}
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var server *Server
		start := func() {
			if server, err = Start(t.Context(), config, config.Logger(log)); err != nil {
				t.Fatal(err)
			}
		}
		stop := func() {
			if err := server.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		start()
		const perHour = 6
		for i := range 24 * perHour {
			if i%(7*perHour) == 7*perHour-1 { // a deploy takes five minutes
				stop()
				time.Sleep(5 * time.Minute)
				start()
			}
			g, key := server.Gabion(), fmt.Appendf(nil, "%04d", i)
			if _, err := g.Table("task_queue").Put(t.Context(), key, []byte("water the plants")); err != nil {
				t.Fatal(i, err)
			}
			if i/perHour == 12 { // the mailbox is written at noon alone
				if _, err := g.Table("mailbox").Put(t.Context(), key, []byte("hello")); err != nil {
					t.Fatal(i, err)
				}
			}
			time.Sleep(time.Until(begin.Add(time.Duration(i+1) * time.Hour / perHour)))
		}
		health, err := server.Gabion().Health(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range health.GetTables() {
			want := map[string]uint64{"task_queue": 24 * perHour, "mailbox": perHour}[row.GetTable()]
			if row.GetState() != messages.TableState_TABLE_STATE_OPEN || row.GetCount() != want || row.GetRestarts() != 0 ||
				time.Since(row.GetLastSuccess().AsTime()) > time.Hour+10*time.Minute {
				t.Errorf("health of %s: %v", row.GetTable(), row)
			}
		}
		if next := time.Until(health.GetNextRun().AsTime()); next <= 0 || next > time.Hour {
			t.Errorf("next run is in %v", next)
		}
		list, err := server.Gabion().ListBackups(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// The first run had the mailbox empty; it changed at noon, and was carried forward otherwise.
		kept, highest := map[string]int{}, map[string]string{}
		for _, b := range list.GetBackups() {
			if kept[b.GetTable()]++; kept[b.GetTable()] == 1 {
				highest[b.GetTable()], _, _ = strings.Cut(b.GetBackupId(), "_")
			}
		}
		if kept["task_queue"] != 3 || kept["mailbox"] > 3 || highest["task_queue"] < "000023" || highest["mailbox"] > "000004" {
			t.Errorf("kept %v, the highest are %v", kept, highest)
		}
		runs, failed := 0, 0
		for e, err := range server.Gabion().Events(t.Context(), nil) {
			if err != nil {
				t.Fatal(err)
			}
			if complete := e.GetBackupComplete(); complete != nil {
				runs++
				failed += len(complete.GetFailed())
			}
		}
		if runs < 23 || runs > 26 || failed > 0 || len(list.GetSets()) != runs {
			t.Errorf("%d runs with %d failed tables, %d sets", runs, failed, len(list.GetSets()))
		}
		t.Logf("%d runs, sets %d, backups %v, health %v", runs, len(list.GetSets()), kept, health.GetTables())
		stop()
	})
	if log.String() != "" {
		t.Errorf("warnings of the day:\n%s", log)
	}
}
