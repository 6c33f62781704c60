package store

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// TestPlaceUnknown: where the disk does not say whether a path names the same directory, the table that is written
// acknowledges, and is not frozen. Changes of DIR fail, and say that the directory is unknown, not that it is another one.
func TestPlaceUnknown(t *testing.T) {
	for what, failing := range map[string]func(d *Directory, s *Store) string{
		"lineage":     func(_ *Directory, s *Store) string { return s.path },
		"DIR":         func(d *Directory, _ *Store) string { return d.path },
		"gabion.json": func(d *Directory, _ *Store) string { return d.fs.PathJoin(d.path, infoFile) },
	} {
		t.Run(what, func(t *testing.T) {
			fs := &hookFS{FS: RealFS()}
			d := openDirectory(t, fs, func(o *DirectoryOptions) { o.Path = realTemp(t) })
			s := openTable(t, d)
			path, asked := failing(d, s), make(chan struct{}, 100)
			fs.hooks(func(o fileOp) error {
				if (o.kind == "stat" || o.kind == "open") && o.path == path {
					asked <- struct{}{}
					return &os.PathError{Op: o.kind, Path: o.path, Err: syscall.EIO}
				}
				return nil
			}, nil)
			mustPut(t, s, "a", "1")
			switch what {
			case "lineage": // the timer asks
			case "DIR":
				if err := d.WriteSchedule(&messages.ScheduleState{}); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrReplaced) {
					t.Errorf("write: %v", err)
				}
			case "gabion.json":
				if err := d.CheckOwner(); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrReplaced) {
					t.Errorf("check: %v", err)
				}
			}
			<-asked
			if err := s.Flush(); err != nil {
				t.Error(err)
			}
			mustPut(t, s, "b", "1")
			if s.Frozen() {
				t.Errorf("frozen: %v", s.FrozenBy())
			}
			fs.hooks(nil, nil)
			if err := errors.Join(s.Check(), d.CheckOwner()); err != nil {
				t.Error(err)
			}
			closeAll(t, s, d)
		})
	}
}

// TestPlaceHangs: a disk that does not say whether a path names the same directory holds up no acknowledgement.
func TestPlaceHangs(t *testing.T) {
	fs := &hookFS{FS: RealFS()}
	d := openDirectory(t, fs, func(o *DirectoryOptions) { o.Path = realTemp(t) })
	s := openTable(t, d)
	asked, healed := make(chan struct{}, 100), make(chan struct{})
	fs.hooks(func(o fileOp) error {
		if o.kind == "stat" && o.path == s.path {
			asked <- struct{}{}
			<-healed
		}
		return nil
	}, nil)
	mustPut(t, s, "a", "1")
	<-asked
	for range 10 {
		mustPut(t, s, "b", "1")
	}
	close(healed)
	closeAll(t, s, d)
}

// TestMarkThatFailsStillLooks: a mark that cannot be written does not keep the table from seeing that its directory is gone.
func TestMarkThatFailsStillLooks(t *testing.T) {
	fs := &hookFS{FS: RealFS()}
	d := openDirectory(t, fs, func(o *DirectoryOptions) { o.Path = realTemp(t) })
	frozen := make(chan error, 1)
	s := openTable(t, d, func(o *OpenOptions) { o.OnFreeze = func(err error) { frozen <- err } })
	mustPut(t, s, "a", "0") // the first group of a store fails where the mark cannot be written
	fs.hooks(func(o fileOp) error {
		if o.kind == "write" && filepath.Ext(o.path) == ".mark" {
			return syscall.ENOSPC
		}
		return nil
	}, nil)
	if err := os.Rename(s.path, s.path+"-moved"); err != nil {
		t.Fatal(err)
	}
	_ = put(s, "a", "1")
	if err := <-frozen; !errors.Is(err, ErrReplaced) {
		t.Errorf("frozen by %v", err)
	}
	closeAll(t, s, d)
}

// TestGiveBackRemovesFromNoOtherDirectory: a copy in the place of a table's directory keeps the files that a cut had on loan.
func TestGiveBackRemovesFromNoOtherDirectory(t *testing.T) {
	fs := &hookFS{FS: RealFS()}
	d := openDirectory(t, fs, func(o *DirectoryOptions) { o.Path = realTemp(t) })
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	compact := func() {
		t.Helper()
		if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
			t.Fatal(err)
		}
	}
	compact()
	s.db.TestOnlyWaitForCleaning()
	fs.hooks(linkless(syscall.EPERM), nil)
	cut := d.Staging("01ARZ3NDEKTSV4RRFFQ69G5FAV", "t")
	if _, err := s.Cut(cut); err != nil {
		t.Fatal(err)
	}
	lent := sstables(t, vfs.Default, s.path)
	mustPut(t, s, "a", "2")
	compact()
	s.db.TestOnlyWaitForCleaning()
	if out, err := exec.Command("cp", "-Rp", s.path, s.path+"-copy").CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	if err := errors.Join(os.Rename(s.path, s.path+"-moved"), os.Rename(s.path+"-copy", s.path)); err != nil {
		t.Fatal(err)
	}
	d.GiveBack(cut)
	for _, path := range lent {
		if there, err := Exists(vfs.Default, path); !there || err != nil {
			t.Errorf("%s is there: %v, %v", path, there, err)
		}
	}
	closeAll(t, s, d)
}
