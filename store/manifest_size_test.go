package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestCutsStaySmall: a table that was flushed a thousand times has a short MANIFEST: each cut copies it, record by record,
// while the commits wait.
func TestCutsStaySmall(t *testing.T) {
	fs := vfs.NewMem()
	d := openDirectory(t, fs, func(o *DirectoryOptions) { o.Path = "/dir" })
	s := openTable(t, d)
	for i := range 1000 {
		mustPut(t, s, fmt.Sprint(i%10), "value")
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	dir := d.Staging("RUN", "t")
	if _, err := s.Cut(dir); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "MANIFEST-") {
			continue
		}
		info, err := fs.Stat(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 32<<10 {
			t.Errorf("%s of a table with one row per key has %d B", name, info.Size())
		}
	}
	closeAll(t, s, d)
}
