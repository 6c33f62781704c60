package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"
)

func TestIdentityOfRealFiles(t *testing.T) {
	dir := t.TempDir()
	fs := &hookFS{FS: RealFS()} // wrapped, as every file system of a store is
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	write := func(content string) {
		t.Helper()
		if err := WriteDurably(fs, path, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	write("content")
	first, err := Identify(fs, path)
	if err != nil || first == nil {
		t.Fatalf("Identify = %v, %v", first, err)
	}
	if first.GetSize() != 7 || first.GetInode() == 0 || first.GetDevice() == "" || first.GetMtime() == 0 {
		t.Errorf("identity %v", first)
	}
	if again, err := Identify(fs, path); err != nil || !proto.Equal(first, again) {
		t.Errorf("the same file: %v, then %v, %v", first, again, err)
	}
	if err := os.Link(path, link); err != nil {
		t.Fatal(err)
	}
	if linked, err := Identify(fs, link); err != nil || !proto.Equal(first, linked) {
		t.Errorf("a hard link: %v, of %v, %v", linked, first, err)
	}

	differs := func(what string) {
		t.Helper()
		if now, err := Identify(fs, path); err != nil || proto.Equal(first, now) {
			t.Errorf("%s: %v, was %v, %v", what, now, first, err)
		}
	}
	write("content") // link keeps the first inode, so this one has another
	differs("replaced by the same content")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(link, path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("longer content"), 0o644); err != nil {
		t.Fatal(err)
	}
	differs("rewritten in place, longer")
	if err := os.WriteFile(path, []byte("tnetnoc"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(0, first.GetMtime()+1)); err != nil {
		t.Fatal(err)
	}
	differs("rewritten in place, of the same length")

	if _, err := Identify(fs, filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

func TestMemoryFilesHaveNoIdentity(t *testing.T) {
	mem := vfs.NewMem()
	writeFile(t, mem, "/file", "x")
	for _, fs := range []vfs.FS{mem, &hookFS{FS: mem}} {
		if id, err := Identify(fs, "/file"); id != nil || err != nil {
			t.Errorf("Identify = %v, %v, want none", id, err)
		}
	}
}
