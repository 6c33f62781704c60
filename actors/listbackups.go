package actors

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// listBackups answers ListBackups.
func (t *tree) listBackups(m *messages.ListBackups) proto.Message {
	list, err := patient(&t.listing, listTimeout, func() (*messages.BackupList, error) {
		tables := m.GetTables()
		if len(tables) == 0 {
			known, err := t.backups.Tables()
			if err != nil {
				return nil, err
			}
			tables = known
		}
		return t.readBackups(tables)
	})
	if err != nil {
		return messages.FailureOf(fmt.Errorf("list backups: %w", err))
	}
	return list
}

// readBackups lists the backups of tables, newest first, and the sets.
func (t *tree) readBackups(tables []string) (*messages.BackupList, error) {
	list := &messages.BackupList{}
	for _, table := range tables {
		backups, err := t.backups.List(table)
		if err != nil {
			return list, err
		}
		for _, b := range backups {
			list.Backups = append(list.Backups, backupInfo(b))
		}
	}
	sets, err := t.backups.Sets()
	list.Sets = sets
	return list, err
}

func backupInfo(b backup.Backup) *messages.BackupInfo {
	info := &messages.BackupInfo{Table: b.Table, BackupId: b.ID, Pinned: messages.Text(b.Pinned), Proof: b.Proof}
	if b.Fault != nil {
		info.Fault = messages.Text(b.Fault.Error())
	}
	if manifest := b.Manifest; manifest != nil {
		info.RunId, info.Label = manifest.GetRunId(), manifest.GetLabel()
		info.Position, info.Count = manifest.GetRecord().GetPosition(), manifest.GetRecord().GetCount()
		info.Started, info.Finished = manifest.GetStarted(), manifest.GetFinished()
		for _, f := range manifest.GetFiles() {
			info.Bytes += f.GetSize()
		}
	}
	return info
}

// showBackup answers ShowBackup.
func (t *tree) showBackup(m *messages.ShowBackup) proto.Message {
	b, err := patient(&t.listing, listTimeout, func() (backup.Backup, error) {
		return t.backups.Find(m.GetTable(), m.GetBackupId())
	})
	if err != nil {
		return messages.FailureOf(fmt.Errorf("show backup: %w", err))
	}
	return &messages.BackupDetail{Backup: backupInfo(b), Manifest: b.Manifest, ManifestSha256: b.ManifestSHA256, Path: messages.Text(b.Path)}
}
