package store

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// manySSTables returns a store with sstables of several levels.
func manySSTables(t *testing.T, fs vfs.FS) (*Directory, *Store) {
	t.Helper()
	d := openDirectory(t, fs)
	s := openTable(t, d)
	for round := range 3 {
		for i := range 30 {
			mustPut(t, s, fmt.Sprint(round, "-", i), strings.Repeat(fmt.Sprint(round, i), 100))
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		if round == 1 {
			compactAll(t, s)
		}
	}
	return d, s
}

// TestCheckBlocksFindsEveryFlippedBit in a store that serves, and in one that is opened for reading where it lies.
func TestCheckBlocksFindsEveryFlippedBit(t *testing.T) {
	rng := random(t)
	mem := vfs.NewMem()
	d, s := manySSTables(t, mem)
	defer closeAll(t, d)
	defer closeAll(t, s)
	var read int64
	for _, workers := range []int{3, 0} {
		read = 0
		if err := s.CheckBlocks(workers, func(n int64) error { read += n; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	files, err := s.sstables()
	if err != nil || len(files) < 2 {
		t.Fatalf("sstables %v, %v", files, err)
	}
	var size int64
	for _, name := range files {
		file := mem.PathJoin(s.path, name)
		sound, err := ReadFile(mem, file)
		if err != nil {
			t.Fatal(err)
		}
		size += int64(len(sound))
		write := func(at int, b byte) {
			f, err := mem.OpenReadWrite(file, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt([]byte{b}, int64(at))
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 60 {
			at := rng.IntN(len(sound))
			if n < 2 {
				at = n * (len(sound) - 1)
			}
			write(at, sound[at]^byte(1<<rng.IntN(8)))
			stores := []*Store{s}
			if r, err := OpenReadOnly(mem, s.path, ReadOnlyOptions{Table: "t"}); err == nil {
				stores = append(stores, r)
			}
			for _, store := range stores {
				err := store.CheckBlocks(n%4, nil)
				var where *FileError
				if !errors.Is(err, messages.ErrDataLoss) || !errors.As(err, &where) || path.Base(where.Path) != name {
					t.Errorf("byte %d of %d of %s: %v", at, len(sound), name, err)
				}
				if store != s {
					closeAll(t, store)
				}
			}
			write(at, sound[at])
		}
	}
	if read < size {
		t.Errorf("%d B were read of %d", read, size)
	}
	if err := s.CheckBlocks(1, nil); err != nil {
		t.Errorf("whole again: %v", err)
	}
}

// TestCheckBlocksBesideCompactions: what they remove meanwhile is not missed, and what is missing is.
func TestCheckBlocksBesideCompactions(t *testing.T) {
	mem := vfs.NewMem()
	d, s := manySSTables(t, mem)
	defer closeAll(t, d)
	rounds := 0
	err := s.CheckBlocks(1, func(int64) error {
		if rounds++; rounds > 3 {
			return nil
		}
		mustPut(t, s, fmt.Sprint("1-", rounds), "beside")
		return errors.Join(s.Flush(), s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false))
	})
	if err != nil || rounds < 4 {
		t.Errorf("%d rounds, %v", rounds, err)
	}
	// What a compaction makes meanwhile is looked at as well.
	made := false
	err = s.CheckBlocks(1, func(int64) error {
		if made {
			return nil
		}
		made = true
		before, err := s.sstables()
		mustPut(t, s, "1-made", "beside")
		if err := errors.Join(err, s.Flush(), s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false)); err != nil {
			return err
		}
		after, err := s.sstables()
		if err != nil || len(after) != 1 || slices.Contains(before, after[0]) {
			return fmt.Errorf("%v became %v: %w", before, after, err)
		}
		f, err := mem.OpenReadWrite(mem.PathJoin(s.path, after[0]), vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte{0xff, 0xff, 0xff, 0xff}, 20)
		return errors.Join(err, f.Close())
	})
	if !errors.Is(err, messages.ErrDataLoss) {
		t.Errorf("with damage in a file that is new: %v", err)
	}
	errStop := errors.New("stop")
	if err := s.CheckBlocks(1, func(int64) error { return errStop }); !errors.Is(err, errStop) || errors.Is(err, messages.ErrDataLoss) {
		t.Errorf("stopped: %v", err)
	}
	files, err := s.sstables()
	if err != nil {
		t.Fatal(err)
	}
	if err := mem.Remove(mem.PathJoin(s.path, files[0])); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckBlocks(1, nil); !errors.Is(err, messages.ErrDataLoss) || !strings.Contains(fmt.Sprint(err), files[0]) {
		t.Errorf("with %s missing: %v", files[0], err)
	}
	closeAll(t, s)
	if err := s.CheckBlocks(1, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// TestCheckBlocksEndsWithItsStore, and does not keep it open.
func TestCheckBlocksEndsWithItsStore(t *testing.T) {
	d, s := manySSTables(t, vfs.NewMem())
	closing := make(chan error, 1)
	calls := 0
	err := s.CheckBlocks(1, func(int64) error {
		if calls++; calls == 1 {
			go func() { closing <- s.Close() }()
			<-s.handle.stop
		}
		return nil
	})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("CheckBlocks = %v, want ErrClosed", err)
	}
	if err := <-closing; err != nil {
		t.Error(err)
	}
	closeAll(t, d)
}

// TestOpenReadOnlyChangesNothing, whatever it is asked for, and opens what others have open.
func TestOpenReadOnlyChangesNothing(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	d, s := manySSTables(t, fs)
	mustPut(t, s, "in the WAL", "alone")
	want := rows(t, s)
	at := s.path
	closeAll(t, s, d)
	before := tree(t, fs.FS, at)
	var changes atomic.Int64
	fs.hooks(func(o fileOp) error {
		if o.changes() {
			changes.Add(1)
			return os.ErrPermission
		}
		return nil
	}, nil)
	var open []*Store
	for range 3 {
		r, err := OpenReadOnly(fs, at, ReadOnlyOptions{Table: "t"})
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, r)
	}
	for _, r := range open {
		if got := rows(t, r); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d rows, want %d", len(got), len(want))
		}
		checkRecord(t, r.Record(), want)
		if _, err := r.Begin(); err == nil {
			t.Error("began a group")
		}
		if _, err := r.Cut("/cut"); err == nil {
			t.Error("cut")
		}
		closeAll(t, r)
	}
	if _, err := OpenReadOnly(fs, "/nowhere", ReadOnlyOptions{Table: "t"}); !errors.Is(err, messages.ErrNotFound) {
		t.Errorf("nothing there: %v", err)
	}
	if n := changes.Load(); n > 0 {
		t.Errorf("%d changes were tried", n)
	}
	fs.hooks(nil, nil)
	checkTree(t, before, tree(t, fs.FS, at))
}
