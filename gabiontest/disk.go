package gabiontest

import (
	"io/fs"
	"math/rand/v2"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Disk is a disk in memory that can lose power and fail on demand, for actors.Config.FS. Make it with NewDisk; its
// methods may be called from any goroutine. Memory is given free with the Disk; there is nothing to close.
type Disk struct {
	mu     sync.Mutex
	power  *power
	faults []*fault
	full   int // FillDisks in force
}

// NewDisk returns an empty disk.
func NewDisk() *Disk {
	d := &Disk{}
	d.power = newPower(d, vfs.NewCrashableMem())
	return d
}

// FS is the file system of the disk. After Crash or CrashPartly it is another one: a program that starts again asks
// for it again.
func (d *Disk) FS() vfs.FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.power
}

// Crash is a power loss: FS becomes what was fsynced, and no more. On the file system before, from that instant on,
// every change fails, and what hangs returns: whatever still runs on it can acknowledge nothing, and is
// to be stopped by the caller, its errors ignored.
func (d *Disk) Crash() { d.lose(vfs.CrashCloneCfg{}) }

// CrashPartly is Crash, but about percent of the blocks and names that were not fsynced, drawn at random
// from seed, outlive the power loss, as they may on a real disk.
func (d *Disk) CrashPartly(percent int, seed uint64) {
	d.lose(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 0))})
}

func (d *Disk) lose(c vfs.CrashCloneCfg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.power = newPower(d, d.power.lose(c))
}

// power is a Disk's file system from one power loss to the next.
type power struct {
	*vfs.MemFS
	disk *Disk

	// guard is held for reading by each change and for writing by the loss: a change is either in
	// what the loss leaves, or fails. MemFS itself deadlocks on a clone beside a Link.
	guard sync.RWMutex
	// lost is closed by the loss.
	lost chan struct{}
}

func newPower(d *Disk, mem *vfs.MemFS) *power {
	return &power{MemFS: mem, disk: d, lost: make(chan struct{})}
}

// lose ends the power and returns what is left.
func (p *power) lose(c vfs.CrashCloneCfg) *vfs.MemFS {
	p.guard.Lock()
	defer p.guard.Unlock()
	close(p.lost)
	return p.CrashClone(c)
}

// read lets the faults have their say before a call that changes nothing.
func (p *power) read(kind OpKind, path string, do func() error) error {
	if err := p.disk.meet(kind, path, p.lost); err != nil {
		return &fs.PathError{Op: string(kind), Path: path, Err: err}
	}
	return do()
}

// change is read for a call that changes something.
func (p *power) change(kind OpKind, path string, do func() error) error {
	if err := p.disk.meet(kind, path, p.lost); err != nil {
		return &fs.PathError{Op: string(kind), Path: path, Err: err}
	}
	p.guard.RLock()
	defer p.guard.RUnlock()
	select {
	case <-p.lost:
		if !newOp(kind, path).retried() {
			return &fs.PathError{Op: string(kind), Path: path, Err: syscall.EIO}
		}
	default:
	}
	return do()
}
