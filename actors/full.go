package actors

import (
	"errors"
	"fmt"
	"time"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// A table whose disk is short of room is full. While some of the reserve is left its store stays open, and writes are
// refused before Pebble meets the end of the disk. If it does all the same, the frozen store is closed and opened again
// for reads alone, so that nothing is written at all. Either way the table is as before once there is room again, and
// none of it counts toward quarantine.

const fullHint = "free some space on the disk; the table takes writes again by itself"

// errNoRoom is why a table is full whose disk was not met full.
var errNoRoom = errors.New("the disk is short of room")

// fullFailure is the answer to a write of a full table.
func (c *cell) fullFailure() *messages.Failure {
	return messages.Failf(messages.Code_CODE_RESOURCE_EXHAUSTED, "table is full: %s; nothing was written", c.tree.roomText()).
		Of(c.name).After(spaceEvery).Advise(fullHint)
}

// roomText says how much room there is.
func (t *tree) roomText() string {
	room, short := t.space.short()
	if !short {
		return errNoRoom.Error()
	}
	return fmt.Sprintf("the disk has %d MiB free, %d MiB must stay free", room.Free>>20, room.Reserve>>20)
}

// fill makes the table full while its store stays open. Called by the committer.
func (m *committer) fill() {
	if !m.full.CompareAndSwap(false, true) {
		return
	}
	m.cell.logger.Warn("table is full: writes are refused", "reason", m.cell.tree.roomText())
	m.cell.judge()
	m.cell.tree.space.await(m.cell, func() {
		m.full.Store(false)
		m.cell.logger.Info("table has room again")
		m.cell.judge()
	})
}

// Pauses between two tries to open a full table for writing.
const (
	roomFirst = time.Second
	roomMost  = 30 * time.Second
)

// noRoom serves the table for reads alone until there is room. Where it cannot be read either, it is not served.
func (k *keeper) noRoom(cause error) {
	k.full, k.cause = true, nil
	reason := fmt.Sprintf("%v: %s", cause, k.tree.roomText())
	s, err := k.tree.directory.Open(k.name, k.tree.openOptions(k.cell, nil, store.OpenOptions{ReadOnly: true}))
	if err == nil && k.migrates(s) {
		err = errors.Join(errors.New("its rows must be migrated first"), s.Close())
	}
	if lasting(err) {
		k.full = false
		k.quarantine(err)
		return
	}
	if err != nil {
		k.logger.Error("full table cannot be read either", "error", err)
		k.setState(messages.TableState_TABLE_STATE_FULL, fmt.Sprintf("%s; it cannot be read either: %v", reason, err), fullHint)
	} else {
		k.use(s, make(chan error, 1), messages.TableState_TABLE_STATE_FULL, reason, fullHint)
	}
	k.settle()
	k.pause = min(max(2*k.pause, roomFirst), roomMost)
	k.retry.Reset(k.pause)
}

// recheck opens a full table for writing if there is room now, and returns why it did not.
func (k *keeper) recheck() error {
	if _, short := k.tree.space.short(); short {
		k.retry.Reset(roomFirst)
		return messages.Failf(messages.Code_CODE_RESOURCE_EXHAUSTED, "table is full: %s", k.tree.roomText()).Of(k.name).Advise(fullHint)
	}
	k.full = false
	k.setState(messages.TableState_TABLE_STATE_REOPENING, "there may be room again", "")
	if k.served != nil {
		k.shut(nil)
	}
	return k.open()
}

// errNotThere: a table that is not made yet cannot be opened for reads.
var errNotThere = errors.New("there is nothing to read")

// openShort serves a table that is there for reads alone when its disk is short of room from the start: replaying a WAL
// takes room, and Pebble would try for ever. errNotThere means that there is room, or nothing to read.
func (k *keeper) openShort() error {
	if k.tree.directory.ReadOnly() {
		return errNotThere
	}
	if _, short := k.tree.space.short(); !short {
		return errNotThere
	}
	if there, err := k.tree.directory.Has(k.name); err != nil || !there {
		return errNotThere
	}
	k.noRoom(errNoRoom)
	return nil
}
