package ops

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/gabiondb/gabion/messages"
)

// RunBackup implements messagesconnect.GabionServiceHandler.
func (s *service) RunBackup(ctx context.Context, m *messages.BackupAll, stream *connect.ServerStream[messages.BackupUpdate]) error {
	ctx, cancel := s.untilEnd(ctx)
	defer cancel()
	type ended struct {
		report *messages.BackupReport
		err    error
	}
	run := make(chan ended, 1)
	go func() {
		var r ended
		defer func() {
			if reason := recover(); reason != nil { // nobody else guards this goroutine
				r.err = s.recovered("RunBackup", reason)
			}
			run <- r
		}()
		r.report, r.err = s.gabion.Backup(ctx, m)
	}()
	look := time.NewTicker(streamProgress)
	defer look.Stop()
	told := time.Now()
	for {
		select {
		case r := <-run:
			if r.err != nil {
				return s.orEnding(r.err)
			}
			return stream.Send(&messages.BackupUpdate{Update: &messages.BackupUpdate_Report{Report: r.report}})
		case <-look.C:
			for _, u := range s.backupUpdates(time.Since(told)) {
				told = time.Now()
				if err := stream.Send(u); err != nil {
					cancel() // nobody waits any more; the run goes on
					<-run
					return err
				}
			}
		}
	}
}

// backupUpdates are what there is to tell of the run that goes on, after so long without an update.
func (s *service) backupUpdates(silent time.Duration) (all []*messages.BackupUpdate) {
	for _, p := range s.gabion.Progress() {
		if p.GetWhat() == "backup" {
			all = append(all, &messages.BackupUpdate{Update: &messages.BackupUpdate_Progress{Progress: p}})
		}
	}
	if all == nil && silent >= streamBeat-streamProgress {
		all = append(all, &messages.BackupUpdate{})
	}
	return all
}
