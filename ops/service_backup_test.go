package ops

import (
	"context"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// heldBackups is a file system on which a file of a backup is made once it is let go.
type heldBackups struct {
	vfs.FS
	reached, let chan struct{}
}

// Create implements vfs.FS.
func (fs *heldBackups) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.Contains(name, "/backups/fruit/") && strings.HasSuffix(name, ".log") {
		select {
		case fs.reached <- struct{}{}:
			<-fs.let
		default: // it has been
		}
	}
	return fs.FS.Create(name, category)
}

func (fs *heldBackups) Unwrap() vfs.FS { return fs.FS }

// TestRunBackup answers what goes on and then the report; the run goes on without its client.
func TestRunBackup(t *testing.T) {
	fs := &heldBackups{FS: store.RealFS(), reached: make(chan struct{}, 1), let: make(chan struct{})}
	h := startHost(t, actors.Config{Dir: t.TempDir() + "/d", Tables: []string{"fruit", "other"}, DisableSchedule: true, DisableDrill: true, FS: fs}).listen(t, bounds{})
	c := dial(t, h.dir)
	if _, err := h.Table("fruit").Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithTimeout(t.Context(), 30*time.Second)
	defer leave()
	stream, err := c.service.RunBackup(ctx, &messages.BackupAll{Label: "noon"})
	if err != nil {
		t.Fatal(err)
	}
	<-fs.reached
	var progress *messages.Progress
	for progress == nil && stream.Receive() {
		progress = stream.Msg().GetProgress()
	}
	if progress.GetTable() != "fruit" || progress.GetWhat() != "backup" {
		t.Errorf("while it goes on: %v, %v", progress, stream.Err())
	}
	second, err := c.service.RunBackup(ctx, &messages.BackupAll{Label: "one that waits"})
	if err != nil {
		t.Fatal(err)
	}
	close(fs.let)
	var report *messages.BackupReport
	for stream.Receive() {
		report = stream.Msg().GetReport()
	}
	if err := stream.Err(); err != nil || report.GetSet().GetLabel() != "noon" || len(report.GetSet().GetResults()) != 2 {
		t.Errorf("report %v, %v", report, err)
	}
	for second.Receive() {
		report = second.Msg().GetReport()
	}
	if err := second.Err(); err != nil || report.GetSet().GetLabel() != "one that waits" {
		t.Errorf("the second: %v, %v", report, err)
	}
	bad, err := c.service.RunBackup(ctx, &messages.BackupAll{Tables: []string{"nope"}})
	if err == nil {
		for bad.Receive() {
			if bad.Msg().GetReport() != nil {
				t.Errorf("of no such table: %v", bad.Msg())
			}
		}
		err = bad.Err()
	}
	if connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("of no such table: %v", err)
	}
}

// TestRunBackupIsNotSilent: a run that waits for another says so before a proxy gives it up.
func TestRunBackupIsNotSilent(t *testing.T) {
	h := newHost(t, t.TempDir()+"/d")
	s := newService(t.Context(), h.Gabion, nil)
	if all := s.backupUpdates(time.Second); len(all) != 0 {
		t.Errorf("after a second: %v", all)
	}
	if all := s.backupUpdates(streamBeat); len(all) != 1 || all[0].GetUpdate() != nil {
		t.Errorf("after %v: %v", streamBeat, all)
	}
}

// TestRunBackupGoesOn when its client goes away.
func TestRunBackupGoesOn(t *testing.T) {
	fs := &heldBackups{FS: store.RealFS(), reached: make(chan struct{}, 1), let: make(chan struct{})}
	h := startHost(t, actors.Config{Dir: t.TempDir() + "/d", Tables: []string{"fruit"}, DisableSchedule: true, DisableDrill: true, FS: fs}).listen(t, bounds{})
	c := dial(t, h.dir)
	if _, err := h.Table("fruit").Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	stream, err := c.service.RunBackup(ctx, &messages.BackupAll{})
	if err != nil {
		t.Fatal(err)
	}
	<-fs.reached
	leave()
	for stream.Receive() {
	}
	close(fs.let)
	waitFor(t, func() bool {
		list, err := h.ListBackups(t.Context(), "fruit")
		return err == nil && len(list.GetBackups()) == 1
	})
}
