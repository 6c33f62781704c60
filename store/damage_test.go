package store

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// reads are the ways to read a row that lies in an sstable.
func reads(s *Store) map[string]func() error {
	return map[string]func() error{
		"Get": func() error {
			_, _, err := s.Get([]byte("k25"))
			return err
		},
		"Page": func() error {
			n, err := s.Snapshot()
			if err != nil {
				return err
			}
			_, err = n.Page(&messages.Scan{})
			return errors.Join(err, n.Close())
		},
		"DeleteRange": func() error {
			g, err := s.Begin()
			if err != nil {
				return err
			}
			defer g.Abandon()
			return g.DeleteRange([]byte("k"), []byte("l"), nil)
		},
	}
}

// rowsInSSTable puts rows and flushes them.
func rowsInSSTable(t *testing.T, s *Store) {
	t.Helper()
	err := commit(s, func(g *Group) error {
		for i := range 50 {
			if err := g.Put(fmt.Appendf(nil, "k%02d", i), []byte(strings.Repeat("v", 200))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
}

// A store that freezes when it has made an sstable's file believes to have it, and cannot read it.
func TestReadOfAFrozenStoreIsNoDamage(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	d := openDirectory(t, fs)
	s := openTable(t, d)
	var once sync.Once
	fs.hooks(func(o fileOp) error {
		if o.kind == "create" && strings.HasSuffix(o.path, ".sst") {
			once.Do(func() { s.Freeze(errFault) })
		}
		return nil
	}, nil)
	rowsInSSTable(t, s)
	for name, read := range reads(s) {
		if err := read(); !errors.Is(err, ErrFrozen) || errors.Is(err, messages.ErrDataLoss) {
			t.Errorf("%s = %v, want ErrFrozen and no ErrDataLoss", name, err)
		}
	}
	closeAll(t, s, d)
}

// damagedFS passes each read of an sstable to damage, once that is set.
type damagedFS struct {
	vfs.FS
	damage atomic.Pointer[func(p []byte) (int, error)]
}

type damagedFile struct {
	vfs.File
	fs *damagedFS
}

func (d *damagedFS) Unwrap() vfs.FS { return d.FS }

func (d *damagedFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.Open(name, opts...)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return &damagedFile{f, d}, nil
}

func (f *damagedFile) ReadAt(p []byte, offset int64) (int, error) {
	n, err := f.File.ReadAt(p, offset)
	if damage := f.fs.damage.Load(); damage != nil && err == nil {
		return (*damage)(p)
	}
	return n, err
}

func TestReadOfADamagedSSTableIsDataLoss(t *testing.T) {
	for name, damage := range map[string]func(p []byte) (int, error){
		"flipped byte": func(p []byte) (int, error) { p[len(p)/2] ^= 0xff; return len(p), nil },
		"truncated":    func(p []byte) (int, error) { return len(p) / 2, io.EOF },
	} {
		t.Run(name, func(t *testing.T) {
			fs := &damagedFS{FS: vfs.NewMem()}
			d := openDirectory(t, fs)
			s := openTable(t, d)
			rowsInSSTable(t, s)
			fs.damage.Store(&damage)
			for name, read := range reads(s) {
				if err := read(); !errors.Is(err, messages.ErrDataLoss) || errors.Is(err, ErrFrozen) {
					t.Errorf("%s = %v, want ErrDataLoss", name, err)
				}
			}
			fs.damage.Store(nil)
			closeAll(t, s, d)
		})
	}
}
