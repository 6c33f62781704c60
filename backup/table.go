package backup

import (
	"context"
	"fmt"
	"sync"

	"github.com/gabiondb/gabion/messages"
)

// table is what the process knows about one table's backups beside what lies on disk: who works
// on them now.
type table struct {
	name string
	// turn holds one token. Who has it may change publishing; Retain keeps it while it works, so
	// that no Publish begins meanwhile. A channel, because waiting for it must end with a context.
	turn       chan struct{}
	publishing bool

	// proofs is held while a proof is added.
	proofs turn

	// mu guards unkept and using, and is held over the rename that begins a removal. A Use before the rename is seen;
	// after it the backup's name is gone.
	mu    sync.Mutex
	using map[string]int
	// unkept are the proofs that say red and could not be written, by backup id. A full disk must not let a backup be
	// linked from or restored that is known to be damaged.
	unkept map[string]*messages.Proof
}

// remember has a red proof that could not be written count while the process lives. A later one takes its place.
func (t *table) remember(proof *messages.Proof, unkept bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if unkept && proof.GetVerdict() == messages.Verdict_VERDICT_RED {
		t.unkept[proof.GetBackupId()] = proof
	} else {
		delete(t.unkept, proof.GetBackupId())
	}
}

// remembered returns the red proof of a backup that could not be written, nil when there is none.
func (t *table) remembered(id string) *messages.Proof {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unkept[id]
}

// table returns the state of one table. The name must have been checked.
func (d *Directory) table(name string) *table {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[name]
	if t == nil {
		t = &table{name: name, turn: make(chan struct{}, 1), proofs: newTurn(), using: map[string]int{}, unkept: map[string]*messages.Proof{}}
		d.tables[name] = t
	}
	return t
}

// startPublish admits one Publish at a time. It waits for a Retain, but not for another Publish,
// which may hang for as long as its disk does.
func (t *table) startPublish(ctx context.Context) error {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-t.turn }()
	if t.publishing {
		return fmt.Errorf("table %q: %w", t.name, ErrBusy)
	}
	t.publishing = true
	return nil
}

func (t *table) endPublish() {
	t.turn <- struct{}{}
	t.publishing = false
	<-t.turn
}

// startRetain waits for another Retain, and refuses beside a Publish. endRetain must follow.
func (t *table) startRetain() error {
	t.turn <- struct{}{}
	if t.publishing {
		<-t.turn
		return fmt.Errorf("table %q: %w", t.name, ErrBusy)
	}
	return nil
}

func (t *table) endRetain() { <-t.turn }

// Use marks a backup as being read, so that Retain keeps it, until release is called; a second call
// of release does nothing. Mark first and look at the backup afterwards: Use does not tell whether
// there is one.
func (d *Directory) Use(table, id string) (release func()) {
	t := d.table(table)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.using[id]++
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.using[id]--; t.using[id] == 0 {
			delete(t.using, id)
		}
	})
}

// Idle tells whether no backup is marked as being read, and nothing is being changed.
func (d *Directory) Idle() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.tables {
		t.mu.Lock()
		using := len(t.using)
		t.mu.Unlock()
		if using > 0 {
			return false
		}
	}
	return d.busy == 0
}

// used tells whether a backup is being read now.
func (t *table) used(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.using[id] > 0
}

// turn is a mutex that is held over file operations. It is a channel, so that a wait for it is one that testing/synctest
// knows: a disk that hangs holds up a virtual clock otherwise.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }
