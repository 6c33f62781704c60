package store

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// backupDirsFile remembers which backup directories the directory was backed up to.
const backupDirsFile = "backup_dirs.json"

// ReadBackupDirs returns what WriteBackupDirs wrote last; without any entry where there is none. Whoever cannot read it
// knows of no backup directory whether it is that of this copy of the directory.
func (d *Directory) ReadBackupDirs() (*messages.BackupDirs, error) {
	var m messages.BackupDirs
	if _, err := d.readStateOf(backupDirsFile, &m, noteLimit); err != nil {
		return nil, err
	}
	return &m, nil
}

// WriteBackupDirs durably replaces the list: a crash leaves the old one or the new one. One call at a time.
func (d *Directory) WriteBackupDirs(dirs *messages.BackupDirs) error {
	dirs = proto.CloneOf(dirs)
	dirs.FormatVersion = FormatVersion
	return d.writeStateOf(backupDirsFile, dirs, noteLimit)
}

// TakenOver is what the backup directory said of its last run when this directory was made for the backups there; nil where
// it was made otherwise, or the backups said nothing.
func (d *Directory) TakenOver() *messages.LastRun { return d.takenOver }

// LastSuccess is when a run backed up all tables last, as far as the schedule remembers: nil where it does not, or cannot be read.
func (d *Directory) LastSuccess() *timestamppb.Timestamp {
	state, err := d.ReadSchedule()
	if err != nil {
		d.logger.Warn("schedule cannot be read: it is unknown whether there were backups", "error", err)
	}
	return state.GetLastSuccess()
}
