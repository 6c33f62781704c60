package actors

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// spaceTimeout is how long a list may take to look at every file: what backups take on the disk is not worth more.
const spaceTimeout = listTimeout / 2

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
		ctx, cancel := context.WithTimeout(context.Background(), spaceTimeout)
		defer cancel()
		list, err := t.readBackups(tables, func(table string, backups []backup.Backup) []*messages.BackupInfo {
			return t.describe(ctx, table, backups)
		})
		if err != nil {
			return nil, err
		}
		list.SetStatus, err = t.backups.SetStatuses(list.GetSets())
		return list, err
	})
	if err != nil {
		return messages.FailureOf(fmt.Errorf("list backups: %w", err))
	}
	return list
}

// readBackups lists the backups of tables, newest first, as describe describes them, and the sets.
func (t *tree) readBackups(tables []string, describe func(string, []backup.Backup) []*messages.BackupInfo) (*messages.BackupList, error) {
	list := &messages.BackupList{}
	for _, table := range tables {
		backups, err := t.backups.List(table)
		if err != nil {
			return list, err
		}
		list.Backups = append(list.Backups, describe(table, backups)...)
	}
	sets, unread, err := t.backups.ReadSets()
	list.Sets = sets
	for _, set := range unread {
		list.Faults = append(list.Faults, messages.FailureOf(set.Err))
	}
	return list, err
}

// briefly is what health needs to know of backups.
func briefly(_ string, backups []backup.Backup) []*messages.BackupInfo {
	infos := make([]*messages.BackupInfo, len(backups))
	for i, b := range backups {
		infos[i] = backupInfo(b)
	}
	return infos
}

func backupInfo(b backup.Backup) *messages.BackupInfo {
	info := &messages.BackupInfo{Table: b.Table, BackupId: b.ID, Pinned: messages.Text(b.Pinned), Proof: b.Proof, OtherCopy: b.OtherCopy}
	if b.Manifest == nil {
		info.Unknown = append(info.Unknown, messages.Figure_FIGURE_MANIFEST)
	}
	unproven := b.Red && b.Proof.GetVerdict() != messages.Verdict_VERDICT_RED // the proofs that cannot be read may call it red
	if unproven || b.Fault != nil && b.Proof == nil {                         // a proof is bound to its manifest
		info.Unknown = append(info.Unknown, messages.Figure_FIGURE_PROOF)
	}
	switch {
	case b.Fault != nil:
		info.Fault = messages.Text(b.Fault.Error())
	case unproven:
		info.Fault = "its proofs cannot be read"
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
	detail, err := patient(&t.listing, listTimeout, func() (*messages.BackupDetail, error) {
		b, err := t.backups.Find(m.GetTable(), m.GetBackupId())
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), spaceTimeout)
		defer cancel()
		info, err := t.describeOne(ctx, b.Table, b.ID)
		return &messages.BackupDetail{Backup: info, Manifest: b.Manifest, ManifestSha256: b.ManifestSHA256, Path: messages.Text(b.Path)}, err
	})
	if err != nil {
		return messages.FailureOf(fmt.Errorf("show backup: %w", err))
	}
	return detail
}
