package actors

import (
	"fmt"
	"maps"

	"github.com/asynkron/protoactor-go/actor"
)

// ownerPIDs returns the owners' PIDs by table.
func (t *tree) ownerPIDs() map[string]*actor.PID {
	t.pidsMu.Lock()
	defer t.pidsMu.Unlock()
	return maps.Clone(t.pids)
}

// ownerPID returns a table's owner, nil for an unknown table.
func (t *tree) ownerPID(table string) *actor.PID {
	t.pidsMu.Lock()
	defer t.pidsMu.Unlock()
	return t.pids[table]
}

func (t *tree) coordinatorPID() *actor.PID {
	t.pidsMu.Lock()
	defer t.pidsMu.Unlock()
	return t.backup
}

// spawnedMailboxes are those of the actors that were spawned, by name: only they can be drained.
func (t *tree) spawnedMailboxes() map[string]*mailbox {
	t.pidsMu.Lock()
	defer t.pidsMu.Unlock()
	spawned := make(map[string]*mailbox, len(t.pids)+1)
	if t.backup != nil {
		spawned[coordinatorName] = t.coordinator
	}
	for table := range t.pids {
		spawned[table] = t.mailboxes[table]
	}
	return spawned
}

// panicsError is why a cell is reopened whose owner panicked past its budget.
type panicsError struct{ last any }

func (e panicsError) Error() string {
	return fmt.Sprintf("owner panicked more than %d times in %v, the last time on: %v", panicBudget, panicWindow, e.last)
}
