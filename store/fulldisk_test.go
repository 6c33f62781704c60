package store

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What changes nothing but names, or only gives room back, a disk without room still does.
func needsRoom(o fileOp) bool {
	switch o.kind {
	case "create", "reuse", "write", "mkdir", "link", "preallocate":
		return true
	}
	return false
}

// On a completely full disk a directory that a killed process left opens, and its tables are read. Their WALs are
// replayed in memory, and no file is made, Pebble's LOCK included.
func TestTablesOfAFullDiskAreRead(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d := openDirectory(t, mem)
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	image := killed(mem)
	closeAll(t, s, d)
	// Files that an old version, or a copy, did not leave.
	for _, name := range []string{s.path + "/LOCK", testDir + "/" + holderFile} {
		if err := image.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, image, d.Staging("RUN", "t")+"/000001.sst", "x")
	before := tree(t, image, testDir)
	for _, path := range []string{d.Staging("RUN", "t") + "/000001.sst", d.Staging("RUN", "t"), image.PathDir(d.Staging("RUN", "t"))} {
		delete(before, path) // it gives room back
	}
	fs := &hookFS{FS: image}
	fs.hooks(func(o fileOp) error {
		if needsRoom(o) {
			return &os.PathError{Op: o.kind, Path: o.path, Err: syscall.ENOSPC}
		}
		return nil
	}, nil)
	d = openDirectory(t, fs)
	s, err := d.Open("t", OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := rows(t, s); fmt.Sprint(got) != "map[a:1]" {
		t.Errorf("rows %v", got)
	}
	closeAll(t, s, d)
	checkTree(t, before, tree(t, image, testDir))
}

// A directory on a disk that is mounted for reading only is opened for reading, and not for changes.
func TestDirectoryMountedForReadingOnly(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d := openDirectory(t, mem)
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	image := killed(mem)
	closeAll(t, s, d)
	if err := image.RemoveAll(s.path + "/LOCK"); err != nil {
		t.Fatal(err)
	}
	before := tree(t, image, testDir)
	fs := &hookFS{FS: image}
	fs.hooks(func(o fileOp) error {
		if o.changes() && o.kind != "sync" {
			return &os.PathError{Op: o.kind, Path: o.path, Err: syscall.EROFS}
		}
		return nil
	}, nil)
	if _, err := OpenDirectory(DirectoryOptions{FS: fs, Path: testDir}); !MountedReadOnly(err) {
		t.Errorf("open for changes: %v", err)
	} else {
		checkHint(t, err)
	}
	d = openDirectory(t, fs, func(o *DirectoryOptions) { o.ReadOnly = true })
	s = openTable(t, d)
	if got := rows(t, s); fmt.Sprint(got) != "map[a:1]" {
		t.Errorf("rows %v", got)
	}
	closeAll(t, s, d)
	checkTree(t, before, tree(t, image, testDir))
}

// No table needs staging: what keeps it from being swept is a warning.
func TestStagingThatCannotBeSwept(t *testing.T) {
	for _, kind := range []string{"removeall", "list", "mkdir"} {
		mem := vfs.NewMem()
		d := openDirectory(t, mem)
		closeAll(t, openTable(t, d), d)
		if kind == "mkdir" {
			if err := mem.RemoveAll(testDir + "/" + stagingDir); err != nil {
				t.Fatal(err)
			}
		} else {
			writeFile(t, mem, d.Staging("RUN", "t")+"/000001.sst", "x")
		}
		fs := &hookFS{FS: mem}
		fs.hooks(func(o fileOp) error {
			if o.kind == kind && strings.HasPrefix(o.path, testDir+"/"+stagingDir) {
				return errFault
			}
			return nil
		}, nil)
		d, err := OpenDirectory(DirectoryOptions{FS: fs, Path: testDir, CacheBytes: 1 << 20})
		if err != nil {
			t.Fatalf("%s fails: %v", kind, err)
		}
		closeAll(t, openTable(t, d), d)
	}
}
