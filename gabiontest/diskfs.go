package gabiontest

import (
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var _ vfs.FS = (*power)(nil)

// open opens a file by do, whose calls then meet the faults as well.
func (p *power) open(kind OpKind, path string, do func() (vfs.File, error)) (vfs.File, error) {
	around := p.read
	if kind.Changes() {
		around = p.change
	}
	var file vfs.File
	err := around(kind, path, func() (err error) {
		file, err = do()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &diskFile{File: file, power: p, path: path}, nil
}

// Unwrap hides the memory: what reaches through to it would meet no fault.
func (p *power) Unwrap() vfs.FS { return nil }

func (p *power) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return p.open(OpCreate, path, func() (vfs.File, error) { return p.MemFS.Create(path, c) })
}

// ReuseForWrite takes two steps: the memory file system locks twice for its own, and hangs where a crash waits in between.
func (p *power) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return p.open(OpCreate, to, func() (vfs.File, error) {
		if err := p.MemFS.Rename(from, to); err != nil {
			return nil, err
		}
		return p.MemFS.OpenReadWrite(to, c)
	})
}

func (p *power) OpenReadWrite(path string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return p.open(OpCreate, path, func() (vfs.File, error) { return p.MemFS.OpenReadWrite(path, c, o...) })
}

func (p *power) Open(path string, o ...vfs.OpenOption) (vfs.File, error) {
	return p.open(OpOpen, path, func() (vfs.File, error) { return p.MemFS.Open(path, o...) })
}

func (p *power) OpenDir(path string) (vfs.File, error) {
	return p.open(OpOpen, path, func() (vfs.File, error) { return p.MemFS.OpenDir(path) })
}

func (p *power) Link(from, to string) error {
	return p.change(OpLink, to, func() error { return p.MemFS.Link(from, to) })
}

func (p *power) Rename(from, to string) error {
	return p.change(OpRename, to, func() error { return p.MemFS.Rename(from, to) })
}

func (p *power) Remove(path string) error {
	return p.change(OpRemove, path, func() error { return p.MemFS.Remove(path) })
}

func (p *power) RemoveAll(path string) error {
	return p.change(OpRemove, path, func() error { return p.MemFS.RemoveAll(path) })
}

// MkdirAll of a directory that is there changes nothing.
func (p *power) MkdirAll(path string, perm fs.FileMode) error {
	if info, err := p.MemFS.Stat(path); err == nil && info.IsDir() {
		return p.read(OpStat, path, func() error { return nil })
	}
	return p.change(OpMkdir, path, func() error { return p.MemFS.MkdirAll(path, perm) })
}

func (p *power) Lock(path string) (lock io.Closer, err error) {
	err = p.change(OpLock, path, func() (err error) {
		lock, err = p.MemFS.Lock(path)
		return err
	})
	return lock, err
}

func (p *power) List(path string) (names []string, err error) {
	err = p.read(OpList, path, func() (err error) {
		names, err = p.MemFS.List(path)
		return err
	})
	return names, err
}

// GetDiskUsage tells of a disk that is empty, or full.
func (p *power) GetDiskUsage(string) (vfs.DiskUsage, error) {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	const size = 1 << 40
	if p.disk.full > 0 {
		return vfs.DiskUsage{TotalBytes: size, UsedBytes: size}, nil
	}
	return vfs.DiskUsage{AvailBytes: size, TotalBytes: size}, nil
}

func (p *power) Stat(path string) (info vfs.FileInfo, err error) {
	err = p.read(OpStat, path, func() (err error) {
		info, err = p.MemFS.Stat(path)
		return err
	})
	return info, err
}

// diskFile is an open file or directory.
type diskFile struct {
	vfs.File
	power *power
	path  string
}

func (f *diskFile) Read(b []byte) (n int, err error) {
	err = f.power.read(OpRead, f.path, func() (err error) {
		n, err = f.File.Read(b)
		return err
	})
	return n, err
}

func (f *diskFile) ReadAt(b []byte, at int64) (n int, err error) {
	err = f.power.read(OpRead, f.path, func() (err error) {
		n, err = f.File.ReadAt(b, at)
		return err
	})
	return n, err
}

func (f *diskFile) Write(b []byte) (n int, err error) {
	err = f.power.change(OpWrite, f.path, func() (err error) {
		n, err = f.File.Write(b)
		return err
	})
	return n, err
}

func (f *diskFile) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.power.change(OpWrite, f.path, func() (err error) {
		n, err = f.File.WriteAt(b, at)
		return err
	})
	return n, err
}

func (f *diskFile) Sync() error {
	return f.power.change(OpSync, f.path, f.File.Sync)
}

func (f *diskFile) SyncData() error {
	return f.power.change(OpSync, f.path, f.File.SyncData)
}

func (f *diskFile) SyncTo(length int64) (full bool, err error) {
	err = f.power.change(OpSync, f.path, func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}
