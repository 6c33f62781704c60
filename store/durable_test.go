package store

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// crashEverywhere runs WriteDurably over old (none when nil), and crashes after each of its file operations. It returns
// every content that is neither the old nor the new, and whether the new is there once WriteDurably has returned.
func crashEverywhere(t *testing.T, old []byte, lie func(*hookFS) vfs.FS) (torn []string, durable bool) {
	t.Helper()
	rng := random(t)
	percents := []int{0}
	for range 100 {
		percents = append(percents, 1+rng.IntN(99))
	}
	durable = true
	for _, percent := range percents {
		mem := vfs.NewCrashableMem()
		if old != nil {
			if err := WriteDurably(mem, "/file", old); err != nil {
				t.Fatal(err)
			}
		}
		fs := &hookFS{FS: mem}
		var images []*vfs.MemFS
		fs.hooks(nil, func(o fileOp) {
			if o.changes() {
				images = append(images, crash(mem, percent, rng))
			}
		})
		if err := WriteDurably(lie(fs), "/file", []byte("new content")); err != nil {
			t.Fatal(err)
		}
		if len(images) < 3 {
			t.Fatalf("%d operations seen, want at least create, write, rename", len(images))
		}
		images = append(images, crash(mem, percent, rng))
		for i, image := range images {
			data, err := ReadFile(image, "/file")
			switch {
			case err == nil && string(data) == "new content":
			case i == len(images)-1:
				durable = false
			case errors.Is(err, os.ErrNotExist) && old == nil:
			case err == nil && old != nil && string(data) == string(old):
			default:
				torn = append(torn, fmt.Sprintf("%q, %v", data, err))
			}
			// What a crash left behind never stops the next write.
			if err := WriteDurably(image, "/file", []byte("newer")); err != nil {
				t.Fatal(err)
			}
			if data, err := ReadFile(image, "/file"); err != nil || string(data) != "newer" {
				t.Fatalf("after a crash and a write: %q, %v", data, err)
			}
		}
	}
	return torn, durable
}

func TestWriteDurablyLeavesTheOldOrTheNew(t *testing.T) {
	honest := func(fs *hookFS) vfs.FS { return fs }
	for name, old := range map[string][]byte{"over a file": []byte("the old content, which is longer"), "anew": nil} {
		t.Run(name, func(t *testing.T) {
			torn, durable := crashEverywhere(t, old, honest)
			if torn != nil || !durable {
				t.Errorf("torn content %v, durable %v", torn, durable)
			}
		})
	}
}

// A file system that drops one kind of fsync shows that the test above would see a missing one.
func TestCrashesShowAMissingFsync(t *testing.T) {
	t.Run("of the file", func(t *testing.T) {
		torn, durable := crashEverywhere(t, []byte("old"), func(fs *hookFS) vfs.FS { return deafFS{FS: fs, files: true} })
		if torn == nil || durable {
			t.Errorf("no crash lost the content: torn %v, durable %v", torn, durable)
		}
	})
	t.Run("of the directory", func(t *testing.T) {
		_, durable := crashEverywhere(t, []byte("old"), func(fs *hookFS) vfs.FS { return deafFS{FS: fs, dirs: true} })
		if durable {
			t.Error("no crash lost the name")
		}
	})
}

// deafFS ignores the fsyncs of files, or of directories.
type deafFS struct {
	vfs.FS
	files, dirs bool
}

type deafFile struct{ vfs.File }

func (deafFile) Sync() error { return nil }

func (d deafFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, c)
	if err == nil && d.files {
		f = deafFile{f}
	}
	return f, err
}

func (d deafFS) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err == nil && d.dirs {
		f = deafFile{f}
	}
	return f, err
}

func TestWriteDurablyReportsEveryFailure(t *testing.T) {
	for n := 0; ; n++ {
		mem := vfs.NewMem()
		if err := WriteDurably(mem, "/file", []byte("old")); err != nil {
			t.Fatal(err)
		}
		fs := &hookFS{FS: mem}
		before, fired := failNth(n, errFault, func(o fileOp) bool { return o.kind != "read" })
		fs.hooks(before, nil)
		err := WriteDurably(fs, "/file", []byte("new"))
		if !fired() {
			if n < 5 {
				t.Fatalf("only %d operations", n)
			}
			return
		}
		if !errors.Is(err, errFault) {
			t.Errorf("operation %d failed, WriteDurably = %v", n, err)
		}
		if data, err := ReadFile(mem, "/file"); err != nil || string(data) != "old" && string(data) != "new" {
			t.Errorf("operation %d failed, content %q, %v", n, data, err)
		}
	}
}

func TestMkdirDurably(t *testing.T) {
	mem := vfs.NewCrashableMem()
	for range 2 { // the second time it is there
		if err := MkdirDurably(mem, "/dir"); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := Exists(crash(mem, 0, nil), "/dir"); !ok || err != nil {
		t.Errorf("after a crash: exists %v, %v", ok, err)
	}
}

func TestExistsTellsAbsentFromUnknown(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	if ok, err := Exists(fs, "/absent"); ok || err != nil {
		t.Errorf("absent: %v, %v", ok, err)
	}
	fs.hooks(func(fileOp) error { return errFault }, nil)
	if _, err := Exists(fs, "/absent"); !errors.Is(err, errFault) {
		t.Errorf("unknown: %v, want the fault", err)
	}
	if _, err := listIfExists(fs, "/absent"); !errors.Is(err, errFault) {
		t.Errorf("list: %v, want the fault", err)
	}
}

func TestReadFileOfNothing(t *testing.T) {
	if _, err := ReadFile(vfs.NewMem(), "/absent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want os.ErrNotExist", err)
	}
}
