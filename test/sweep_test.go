package test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

var sweepTables = []string{"inbox", "outbox"}

// sweep is a Gabion on a file system that is cloned, as a power loss would leave it, after every change.
type sweep struct {
	t    *testing.T
	fs   *crashFS
	g    *actors.Gabion
	rows int  // of each table
	heal bool // of a start: the tables heal themselves
	// promise is what the step under way was promised so far.
	promise atomic.Pointer[string]

	mu     sync.Mutex
	clones []sweepClone
}

type sweepClone struct {
	after   string // the operation
	promise string // when it was taken
	fs      *vfs.MemFS
}

func newSweep(t *testing.T) *sweep {
	s := &sweep{t: t, fs: newCrashFS()}
	s.promise.Store(new(string))
	g, system, err := s.start(s.fs)
	if err != nil {
		t.Fatal(err)
	}
	s.g = g
	t.Cleanup(func() {
		if err := g.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		system.Shutdown()
	})
	return s
}

func (s *sweep) start(fs vfs.FS) (*actors.Gabion, interface{ Shutdown() }, error) {
	system := quietSystem()
	g, err := actors.Start(context.Background(), system, actors.Config{
		Dir: "/g", Tables: sweepTables, AtCut: sweepTables[1:], FS: fs, DisableSchedule: true, Keep: 2, SelfHeal: s.heal, MemTableBytes: 64 << 10})
	if err != nil {
		system.Shutdown()
	}
	return g, system, err
}

func (s *sweep) write(n int) {
	for _, table := range sweepTables {
		handle := s.g.Table(table)
		for i := range n {
			key, value := fmt.Sprintf("k%04d", s.rows+i), strings.Repeat(table, 20)
			if _, err := handle.Put(context.Background(), []byte(key), []byte(value)); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	s.rows += n
}

func (s *sweep) backUp() *messages.BackupReport {
	report, err := s.g.BackupAll(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, result := range report.GetSet().GetResults() {
		if result.GetFailure() != nil {
			s.t.Fatalf("%v", result)
		}
	}
	if len(report.GetFaults()) > 0 {
		s.t.Fatalf("faults: %q", report.GetFaults())
	}
	return report
}

// record clones after every change while do runs. What goes on beside it, such as the event log, may not be at rest
// when it returns.
func (s *sweep) record(do func()) {
	ended := false
	after := func(op, path string) {
		c := sweepClone{after: op + " " + path, promise: *s.promise.Load()} // before the clone
		c.fs = s.fs.clone(0, nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		if !ended {
			s.clones = append(s.clones, c)
		}
	}
	s.fs.after.Store(&after)
	do()
	s.fs.after.Store(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	ended = true
}

// TestCrashSweepOfBackupAll: a power loss after any file operation of a run with retention leaves every
// backup that has its name complete, the newest one that was there, and tables with every row.
func TestCrashSweepOfBackupAll(t *testing.T) {
	s := newSweep(t)
	for range 3 {
		s.write(40)
		s.backUp()
	}
	s.write(40)
	// Runs that the subscriber saw complete; its clone is taken before anything else can happen.
	var completed *sweepClone
	var event *messages.BackupComplete
	done := make(chan struct{})
	cancel := s.g.Subscribe(func(e proto.Message) {
		if complete, ok := e.(*messages.BackupComplete); ok {
			completed, event = &sweepClone{after: "BackupComplete", fs: s.fs.clone(0, nil)}, complete
			close(done)
		}
	})
	defer cancel()
	s.record(func() { s.backUp() })
	<-done
	t.Logf("%d file operations", len(s.clones))
	if len(s.clones) < 100 {
		t.Fatalf("only %d file operations were seen: the hook is not called", len(s.clones))
	}
	removed := 0
	for _, c := range append(s.clones, *completed) {
		for _, table := range sweepTables {
			numbers := checkBackups(t, c, table)
			if len(numbers) == 0 || slices.Max(numbers) < 3 {
				t.Fatalf("after %s: table %s has backups %v, number 3 is gone", c.after, table, numbers)
			}
			if !slices.Contains(numbers, 2) {
				removed++
			}
		}
	}
	if removed == 0 {
		t.Error("retention removed nothing: the sweep did not cover it")
	}
	checkNamed(t, *completed, event)
	for _, c := range distinct(t, s.clones) {
		s.checkRestart(c)
	}
}

// distinct leaves out the clones that hold what the one before does: without a sync no change reaches a clone.
func distinct(t *testing.T, clones []sweepClone) []sweepClone {
	t.Helper()
	before := ""
	return slices.DeleteFunc(slices.Clone(clones), func(c sweepClone) bool {
		sum := sha256.New()
		var walk func(path string) error
		walk = func(path string) error {
			names, err := c.fs.List(path)
			if err != nil {
				return err
			}
			slices.Sort(names)
			for _, name := range names {
				child := c.fs.PathJoin(path, name)
				info, err := c.fs.Stat(child)
				if err != nil {
					return err
				}
				fmt.Fprintf(sum, "%s %d\n", child, info.Size())
				if info.IsDir() {
					err = walk(child)
				} else if data, err2 := store.ReadFile(c.fs, child); err2 != nil {
					err = err2
				} else {
					_, err = sum.Write(data)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}
		if err := walk("/"); err != nil {
			t.Fatal(err)
		}
		last := before
		before = c.promise + string(sum.Sum(nil))
		return before == last
	})
}

// checkBackups checks every complete backup of a table by what lies in it, and returns their numbers.
func checkBackups(t *testing.T, c sweepClone, table string) []int {
	t.Helper()
	dir := c.fs.PathJoin("/g", store.BackupsDir, table)
	names, err := c.fs.List(dir)
	if err != nil {
		t.Fatalf("after %s: %v", c.after, err)
	}
	var numbers []int
	for _, name := range names {
		if strings.HasPrefix(name, ".pending-") {
			continue
		}
		var number int
		if _, err := fmt.Sscanf(name, "%06d_", &number); err != nil {
			continue
		}
		if err := checkBackup(c.fs, c.fs.PathJoin(dir, name)); err != nil {
			t.Fatalf("after %s: backup %s/%s: %v", c.after, table, name, err)
		}
		numbers = append(numbers, number)
	}
	return numbers
}

// readManifest reads the manifest of a backup and holds it against its hash.
func readManifest(fs vfs.FS, dir string) (*messages.Manifest, error) {
	data, err := store.ReadFile(fs, fs.PathJoin(dir, "manifest.json"))
	if err != nil {
		return nil, err
	}
	want, err := store.ReadFile(fs, fs.PathJoin(dir, "manifest.sha256"))
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(data); !strings.HasPrefix(string(want), hex.EncodeToString(got[:])+" ") {
		return nil, errors.New("manifest does not match its hash")
	}
	var manifest messages.Manifest
	return &manifest, protojson.Unmarshal(data, &manifest)
}

// checkBackup restores a backup by copying its files, and reads all of it.
func checkBackup(fs vfs.FS, dir string) error {
	manifest, err := readManifest(fs, dir)
	if err != nil {
		return err
	}
	restored := vfs.NewMem()
	for _, f := range manifest.GetFiles() {
		data, err := store.ReadFile(fs, fs.PathJoin(dir, "db", f.GetName()))
		if err != nil {
			return err
		}
		if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != f.GetSha256() {
			return fmt.Errorf("%s does not match its hash", f.GetName())
		}
		if err := store.WriteDurably(restored, f.GetName(), data); err != nil {
			return err
		}
	}
	return readRestored(restored, manifest.GetRecord())
}

func readRestored(fs vfs.FS, record *messages.TableRecord) error {
	db, err := pebble.Open("", &pebble.Options{FS: fs, ErrorIfNotExists: true, Logger: quietPebble{}})
	if err != nil {
		return err
	}
	defer db.Close()
	iter, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{1}, UpperBound: []byte{2}})
	if err != nil {
		return err
	}
	var fingerprinter store.Fingerprinter
	var count, fingerprint uint64
	for valid := iter.First(); valid; valid = iter.Next() {
		count++
		fingerprint += fingerprinter.Row(iter.Key()[1:], iter.Value())
	}
	if err := iter.Close(); err != nil {
		return err
	}
	if count != record.GetCount() || fingerprint != record.GetFingerprint() {
		return fmt.Errorf("%d rows, fingerprint %x; its record says %d, %x", count, fingerprint, record.GetCount(), record.GetFingerprint())
	}
	return nil
}

type quietPebble struct{}

func (quietPebble) Infof(string, ...any)           {}
func (quietPebble) Errorf(string, ...any)          {}
func (quietPebble) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

// checkNamed: all that BackupComplete names survives a power loss in its subscriber.
func checkNamed(t *testing.T, c sweepClone, event *messages.BackupComplete) {
	t.Helper()
	set := c.fs.PathJoin(event.GetBackupDir(), "sets", event.GetRunId()+".json")
	data, err := store.ReadFile(c.fs, set)
	var read messages.BackupSet
	if err := errors.Join(err, protojson.Unmarshal(data, &read)); err != nil {
		t.Errorf("set of the run: %v", err)
	}
	if len(event.GetBackedUp()) != len(sweepTables) || len(read.GetResults()) != len(sweepTables) {
		t.Errorf("event names %d tables, its set %d", len(event.GetBackedUp()), len(read.GetResults()))
	}
	for _, result := range event.GetBackedUp() {
		if err := checkBackup(c.fs, c.fs.PathJoin(event.GetBackupDir(), result.GetTable(), result.GetBackupId())); err != nil {
			t.Errorf("backup named by BackupComplete: %v", err)
		}
	}
}

// checkRestart: a Gabion on what the crash left serves every row, sweeps what was unfinished, and backs up.
func (s *sweep) checkRestart(c sweepClone) {
	g, system, err := s.start(c.fs)
	if err != nil {
		s.t.Fatalf("after %s: %v", c.after, err)
	}
	defer system.Shutdown()
	for _, table := range sweepTables {
		rows := 0
		err := g.Table(table).Walk(context.Background(), nil, func(_, _ []byte) error { rows++; return nil })
		if err != nil || rows != s.rows {
			s.t.Errorf("after %s: table %s has %d rows, want %d: %v", c.after, table, rows, s.rows, err)
		}
		names, err := c.fs.List(c.fs.PathJoin("/g", store.BackupsDir, table))
		if err != nil || slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, ".pending-") }) {
			s.t.Errorf("after %s: not swept: %q, %v", c.after, names, err)
		}
	}
	if names, err := c.fs.List("/g/staging"); err != nil || len(names) > 0 {
		s.t.Errorf("after %s: staging not swept: %q, %v", c.after, names, err)
	}
	report, err := g.BackupAll(context.Background())
	if err != nil || len(report.GetFaults()) > 0 {
		s.t.Errorf("after %s: next backup: %v, %v", c.after, err, report)
	}
	for _, result := range report.GetSet().GetResults() {
		if result.GetFailure() != nil {
			s.t.Errorf("after %s: next backup: %v", c.after, result)
		}
	}
	if err := g.Stop(context.Background()); err != nil {
		s.t.Errorf("after %s: stop: %v", c.after, err)
	}
}
