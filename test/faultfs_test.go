package test

import (
	"context"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// The kinds of faults.
const (
	ioFault    = "EIO"
	spaceFault = "ENOSPC"
	hangFault  = "hang"
	tornFault  = "torn write" // a prefix is written, then EIO
	flipFault  = "bit flip"   // one bit of what is written is another one
)

var faultKinds = []string{ioFault, spaceFault, hangFault, tornFault, flipFault}

// befalls tells whether a kind of fault can befall a kind of call.
func befalls(fault, op string) bool {
	switch fault {
	case spaceFault:
		return op == createOp || op == writeOp || op == syncOp || op == linkOp || op == mkdirOp || op == renameOp
	case tornFault, flipFault:
		return op == writeOp
	}
	return true
}

// injection is the fault of one cell: of the calls it matches, the nth fails, or each from there on until it is healed.
type injection struct {
	call  diskCall
	kind  string
	nth   int // from 1
	every bool
	// where in what is written a bit is turned, in [0, 1).
	where float64

	met    int
	healed chan struct{}
}

// faultFS is a crashFS that counts the calls that concern one table, by phase, and injects one fault.
type faultFS struct {
	*crashFS
	// root is what lies at matrixDir, where the disk is the real one; "" is matrixDir itself.
	root string

	mu      sync.Mutex
	table   string
	phase   string
	counts  map[diskCall]int
	fault   *injection // nil when healed, or none
	fired   int
	changed chan struct{} // closed and replaced with every count
}

func newFaultFS(image *vfs.MemFS, table string) *faultFS {
	return &faultFS{crashFS: &crashFS{FS: image, mem: image}, table: table,
		counts: make(map[diskCall]int), changed: make(chan struct{})}
}

// enter begins a phase, with its fault, if it has one.
func (f *faultFS) enter(phase string, fault *injection) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.phase = phase
	if fault != nil {
		fault.healed = make(chan struct{})
		f.fault = fault
	}
}

// heal ends the fault, and the phase.
func (f *faultFS) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.phase = ""
	if f.fault != nil {
		close(f.fault.healed)
		f.fault = nil
	}
}

// calls returns what was counted: without a fault all calls, with one those up to it.
func (f *faultFS) calls() map[diskCall]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counts)
}

// await waits until done says so of the calls counted and of how often the fault fired.
func (f *faultFS) await(ctx context.Context, done func(calls map[diskCall]int, fired int) bool) bool {
	for {
		f.mu.Lock()
		ok, changed := done(f.counts, f.fired), f.changed
		f.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// meet counts a call and lets the fault have its say: an error, or what is to happen to a write. It returns after
// what hangs was healed.
func (f *faultFS) meet(op, name string, compacted *bool) (write string, where float64, err error) {
	f.mu.Lock()
	if f.root != "" {
		name = matrixDir + strings.TrimPrefix(name, f.root)
	}
	file := fileKind(f.table, name, op)
	f.move(file, op, name, compacted)
	// Beside a compaction memtables are flushed; its own files are meant.
	flushed := file == sstableFile && op != readOp && compacted != nil && !*compacted
	if file == "" || f.phase == "" || op == readOp && anytime(file, f.phase) || f.phase == beforeCompaction || f.phase == compactionPhase && flushed {
		f.mu.Unlock()
		return "", 0, nil
	}
	call := diskCall{file: file, op: op, phase: f.phase}
	if (f.phase == publishPhase || f.phase == prunePhase) && ofTable(file) {
		call.phase = cutPhase // of which it is what comes after, in the background
	}
	if f.fired == 0 {
		f.counts[call]++
	}
	fault := f.fault
	hit := fault != nil && fault.call == call
	if hit {
		fault.met++
		hit = fault.met == fault.nth || fault.every && fault.met > fault.nth
	}
	if hit {
		f.fired++
	}
	close(f.changed)
	f.changed = make(chan struct{})
	f.mu.Unlock()
	if !hit {
		return "", 0, nil
	}
	failed := func(number syscall.Errno) error { return &fs.PathError{Op: op, Path: name, Err: number} }
	switch fault.kind {
	case ioFault:
		return "", 0, failed(syscall.EIO)
	case spaceFault:
		return "", 0, failed(syscall.ENOSPC)
	case hangFault:
		<-fault.healed
		return "", 0, nil
	}
	return fault.kind, fault.where, failed(syscall.EIO)
}

// anytime tells whether a file may be read in a phase that itself does not read it: whoever lists the tables reads current,
// and timers look whether the directories are still in their places.
func anytime(file, phase string) bool {
	switch file {
	case currentFile:
		return phase != openPhase && phase != createPhase
	case lineageDir:
		return phase == commitPhase
	case holdFile:
		return slices.Contains([]string{commitPhase, flushPhase, compactionPhase, closePhase}, phase)
	}
	return false
}

// move goes to the next phase where a call begins one.
func (f *faultFS) move(file, op, name string, compacted *bool) {
	base := path.Base(name)
	switch {
	case f.phase == beforeCompaction && compacted != nil && *compacted:
		f.phase = compactionPhase
	case f.phase == cutPhase && file == backupFile && op == mkdirOp && strings.Contains(name, "/.pending-"):
		f.phase = publishPhase
	case f.phase == publishPhase && file == backupFile && strings.HasPrefix(base, ".pending-remove-"):
		f.phase = prunePhase
	}
}

// change is meet for a call that is no write, which is carried out unless it fails.
func (f *faultFS) change(op, name string, do func() error) error {
	if _, _, err := f.meet(op, name, nil); err != nil {
		return err
	}
	return do()
}

func (f *faultFS) file(op, name string, c vfs.DiskWriteCategory, do func() (vfs.File, error)) (vfs.File, error) {
	compacted := c == compactionWrite
	if _, _, err := f.meet(op, name, &compacted); err != nil {
		return nil, err
	}
	file, err := do()
	if err != nil {
		return nil, err
	}
	return &faultFile{File: file, fs: f, path: name, compacted: &compacted}, nil
}

// Unwrap shows the real file system: what locks, resolves or counts by it does so with a fault between, too.
func (f *faultFS) Unwrap() vfs.FS {
	if f.root == "" {
		return nil
	}
	return f.FS
}

// Identity implements store.Identifier.
func (f *faultFS) Identity(name string) (*messages.FileIdentity, error) {
	return f.crashFS.Identity(name)
}

func (f *faultFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file(createOp, name, c, func() (vfs.File, error) { return f.crashFS.Create(name, c) })
}

func (f *faultFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.file(createOp, name, c, func() (vfs.File, error) { return f.crashFS.OpenReadWrite(name, c, o...) })
}

func (f *faultFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file(createOp, to, c, func() (vfs.File, error) { return f.crashFS.ReuseForWrite(from, to, c) })
}

func (f *faultFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	return f.file(readOp, name, "", func() (vfs.File, error) { return f.crashFS.Open(name, o...) })
}

func (f *faultFS) OpenDir(name string) (vfs.File, error) {
	return f.file(readOp, name, "", func() (vfs.File, error) { return f.crashFS.OpenDir(name) })
}

func (f *faultFS) Link(from, to string) error {
	return f.change(linkOp, to, func() error { return f.crashFS.Link(from, to) })
}

func (f *faultFS) Rename(from, to string) error {
	return f.change(renameOp, to, func() error { return f.crashFS.Rename(from, to) })
}

func (f *faultFS) Remove(name string) error {
	return f.change(removeOp, name, func() error { return f.crashFS.Remove(name) })
}

func (f *faultFS) RemoveAll(name string) error {
	return f.change(removeOp, name, func() error { return f.crashFS.RemoveAll(name) })
}

func (f *faultFS) MkdirAll(name string, perm fs.FileMode) error {
	return f.change(mkdirOp, name, func() error { return f.crashFS.MkdirAll(name, perm) })
}

func (f *faultFS) Lock(name string) (lock io.Closer, err error) {
	err = f.change(lockOp, name, func() error {
		lock, err = f.crashFS.Lock(name)
		return err
	})
	return lock, err
}

func (f *faultFS) List(name string) (names []string, err error) {
	err = f.change(readOp, name, func() error {
		names, err = f.crashFS.List(name)
		return err
	})
	return names, err
}

func (f *faultFS) Stat(name string) (info vfs.FileInfo, err error) {
	err = f.change(readOp, name, func() error {
		info, err = f.crashFS.Stat(name)
		return err
	})
	return info, err
}

// faultFile is an open file or directory.
type faultFile struct {
	vfs.File
	fs        *faultFS
	path      string
	compacted *bool // a compaction writes it
}

func (f *faultFile) change(op string, do func() error) error {
	if _, _, err := f.fs.meet(op, f.path, f.compacted); err != nil {
		return err
	}
	return do()
}

// write writes p by do, torn or with one bit turned where the fault says so.
func (f *faultFile) write(p []byte, do func([]byte) (int, error)) (int, error) {
	how, where, err := f.fs.meet(writeOp, f.path, f.compacted)
	switch {
	case how == tornFault:
		n, _ := do(p[:len(p)/2])
		return n, err
	case how == flipFault:
		flipped := append([]byte(nil), p...)
		if len(p) > 0 {
			flipped[int(where*float64(len(p)))] ^= 0x10
		}
		return do(flipped)
	case err != nil:
		return 0, err
	}
	return do(p)
}

func (f *faultFile) Write(p []byte) (int, error) { return f.write(p, f.File.Write) }

func (f *faultFile) WriteAt(p []byte, at int64) (int, error) {
	return f.write(p, func(p []byte) (int, error) { return f.File.WriteAt(p, at) })
}

func (f *faultFile) Read(p []byte) (n int, err error) {
	err = f.change(readOp, func() error {
		n, err = f.File.Read(p)
		return err
	})
	return n, err
}

func (f *faultFile) ReadAt(p []byte, at int64) (n int, err error) {
	err = f.change(readOp, func() error {
		n, err = f.File.ReadAt(p, at)
		return err
	})
	return n, err
}

func (f *faultFile) Sync() error { return f.change(syncOp, f.File.Sync) }

func (f *faultFile) SyncData() error { return f.change(syncOp, f.File.SyncData) }

func (f *faultFile) SyncTo(length int64) (full bool, err error) {
	err = f.change(syncOp, func() error {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}
