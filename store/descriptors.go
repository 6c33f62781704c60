package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

const (
	// tableDescriptors is how many descriptors one open table holds, with one sstable.
	tableDescriptors = 9
	// otherDescriptors are left to the program, the locks, the event log and the copies of a run.
	otherDescriptors = 64
)

// ErrDescriptors: the tables need more file descriptors than the process may have.
var ErrDescriptors = errors.New("too few file descriptors")

// Descriptors is how many file descriptors the process may have, 0 where that is unknown.
func Descriptors() uint64 {
	limit, err := descriptorLimit()
	if err != nil {
		return 0
	}
	return limit
}

// CheckDescriptors tells whether so many tables can be open at once: an error matches ErrDescriptors. It warns where they
// can, but not with all the sstables that they share. Go raises the soft limit to the hard one when a program starts.
func (d *Directory) CheckDescriptors(tables int) error {
	if vfs.Root(d.fs) != vfs.Default {
		return nil
	}
	limit, err := descriptorLimit()
	if err != nil {
		d.logger.Warn("limit of file descriptors is unknown", "error", err)
		return nil
	}
	return d.fitDescriptors(limit, tables)
}

func (d *Directory) fitDescriptors(limit uint64, tables int) error {
	least, most := descriptorsOf(tables)
	switch {
	case limit >= most:
		return nil
	case limit >= least || d.readOnly:
		d.logger.Warn("limit of file descriptors is low: tables that grow may meet it", "limit", limit,
			"tables", tables, "need", most, "hint", raiseTo(most))
		return nil
	}
	return messages.WithHint(fmt.Errorf("%w: %d tables need %d, the limit is %d", ErrDescriptors, tables, least, limit),
		raiseTo(most))
}

// descriptorsOf returns what tables need to be open, and with as many sstables as they keep open at most.
func descriptorsOf(tables int) (least, most uint64) {
	least = uint64(tables)*tableDescriptors + otherDescriptors
	return least, least + fileCacheSize
}

func raiseTo(limit uint64) string {
	return fmt.Sprintf("raise the limit: ulimit -n %d, or LimitNOFILE=%d in the unit of systemd", limit, limit)
}
