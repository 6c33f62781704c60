package actors

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// pinBackup answers PinBackup.
func (t *tree) pinBackup(m *messages.PinBackup) proto.Message {
	if t.config.ReadOnly {
		return readOnlyFailure()
	}
	info, err := patient(t.asking.of("pin"), t.config.CopyTimeout, func() (*messages.BackupInfo, error) {
		// The directories stay locked until the disk has answered.
		t.admin.began()
		defer t.admin.ended()
		b, err := t.backups.Find(m.GetTable(), m.GetBackupId())
		if err != nil {
			return nil, err
		}
		if m.GetUnpin() {
			err = t.backups.Unpin(b.Table, b.ID)
		} else {
			err = t.backups.Pin(b.Table, b.ID, m.GetReason())
		}
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), spaceTimeout)
		defer cancel()
		return t.describeOne(ctx, b.Table, b.ID)
	})
	if err != nil {
		if errors.Is(err, messages.ErrDeadline) {
			err = messages.WithHint(err, "look at the disk of the backups; what was asked for may still be done when it answers")
		}
		return messages.FailureOf(fmt.Errorf("pin backup: %w", err))
	}
	return info
}
