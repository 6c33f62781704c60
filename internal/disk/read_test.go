package disk_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// endless is a file system whose files say that they are empty, and never end.
type endless struct {
	vfs.FS
	read int
}

func (e *endless) Open(path string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := e.FS.Open(path, opts...)
	return &endlessFile{f, e}, err
}

type endlessFile struct {
	vfs.File
	fs *endless
}

func (f *endlessFile) Read(p []byte) (int, error) {
	if f.fs.read += len(p); f.fs.read > 1<<20 {
		return 0, errors.New("read on and on")
	}
	return len(p), nil
}

func TestReadFileIsBounded(t *testing.T) {
	dir := t.TempDir()
	sparse := filepath.Join(dir, "sparse")
	makeSparse(t, sparse, 20<<30)
	mem := vfs.NewMem()
	for size, path := range map[int]string{100: "fits", 101: "long", 0: "empty"} {
		f, err := mem.Create(path, "")
		mustDo(t, err)
		_, err = f.Write(bytes.Repeat([]byte("x"), size))
		mustDo(t, errors.Join(err, f.Close()))
	}
	for _, c := range []struct {
		name, path string
		fs         vfs.FS
		size       int
		long       bool
	}{
		{"as long as the limit", "fits", mem, 100, false},
		{"empty", "empty", mem, 0, false},
		{"one byte more", "long", mem, 0, true},
		{"20 GiB", sparse, disk.OS(0), 0, true},
		{"without an end", "empty", &endless{FS: mem}, 0, true},
	} {
		data, err := disk.ReadFile(c.fs, c.path, 100)
		var long *disk.LengthError
		if errors.As(err, &long) != c.long || errors.Is(err, messages.ErrDataLoss) != c.long || !c.long && err != nil || len(data) != c.size {
			t.Errorf("%s: %d B, error %v", c.name, len(data), err)
		}
		if c.name == "20 GiB" && (err == nil || !strings.Contains(err.Error(), "21474836480 B")) {
			t.Errorf("%s: the error is %v", c.name, err)
		}
		if c.long && (!strings.Contains(err.Error(), c.path) || !strings.Contains(err.Error(), "100 B") || len(messages.Hints(err)) == 0) {
			t.Errorf("%s: the error is %v, with the hints %q", c.name, err, messages.Hints(err))
		}
	}
	if _, err := disk.ReadFile(mem, "missing", 100); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if data, err := disk.ReadHead(disk.OS(0), sparse, 100); len(data) != 100 || err != nil {
		t.Errorf("the head of 20 GiB: %d B, %v", len(data), err)
	}
}

func TestReadNamed(t *testing.T) {
	dir := t.TempDir()
	file, link, sparse := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "sparse")
	mustDo(t, os.WriteFile(file, []byte("secret"), 0o600))
	mustDo(t, os.Symlink(file, link))
	makeSparse(t, sparse, 20<<30)
	if data, err := disk.ReadNamed(link, 6); string(data) != "secret" || err != nil {
		t.Errorf("behind a link: %q, %v", data, err)
	}
	for path, limit := range map[string]int64{link: 5, sparse: 100} {
		size := map[string]string{link: "has 6 B", sparse: "has 21474836480 B"}[path]
		if _, err := disk.ReadNamed(path, limit); !errors.Is(err, messages.ErrInvalid) || len(messages.Hints(err)) == 0 || !strings.Contains(err.Error(), size) {
			t.Errorf("%s with %d B: %v", path, limit, err)
		}
	}
	if _, err := disk.ReadNamed(dir, 100); err == nil {
		t.Error("a directory is read")
	}
	if data, err := disk.ReadNamed(os.DevNull, 100); len(data) > 0 || err != nil {
		t.Errorf("the null device: %q, %v", data, err)
	}
	if info, err := disk.StatNamed(link); err != nil || info.Size() != 6 {
		t.Errorf("stat behind a link: %v", err)
	}
}

func makeSparse(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	mustDo(t, err)
	mustDo(t, errors.Join(f.Truncate(size), f.Close()))
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var _ io.Reader = (*endlessFile)(nil)
