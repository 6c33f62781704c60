package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

const kept = "kept"

// linkedTree makes a root in which dir is a link to a directory with a file, and returns both directories.
func linkedTree(t *testing.T) (root, outside string) {
	t.Helper()
	root, outside = t.TempDir(), t.TempDir()
	mustDo(t, os.WriteFile(filepath.Join(outside, "file"), []byte(kept), 0o600))
	mustDo(t, os.WriteFile(filepath.Join(root, "own"), nil, 0o600))
	mustDo(t, os.Symlink(outside, filepath.Join(root, "dir")))
	return root, outside
}

func TestWithinReachesThroughNoLink(t *testing.T) {
	for name, work := range map[string]func(fs vfs.FS, root string) error{
		"create":     func(fs vfs.FS, root string) error { return closing(fs.Create(root+"/dir/new", "")) },
		"open":       func(fs vfs.FS, root string) error { return closing(fs.Open(root + "/dir/file")) },
		"read-write": func(fs vfs.FS, root string) error { return closing(fs.OpenReadWrite(root+"/dir/file", "")) },
		"reuse":      func(fs vfs.FS, root string) error { return closing(fs.ReuseForWrite(root+"/own", root+"/dir/new", "")) },
		"reuse from": func(fs vfs.FS, root string) error {
			return closing(fs.ReuseForWrite(root+"/dir/file", root+"/new", ""))
		},
		"open dir":    func(fs vfs.FS, root string) error { return closing(fs.OpenDir(root + "/dir")) },
		"list":        func(fs vfs.FS, root string) error { _, err := fs.List(root + "/dir"); return err },
		"stat":        func(fs vfs.FS, root string) error { _, err := fs.Stat(root + "/dir/file"); return err },
		"lock":        func(fs vfs.FS, root string) error { _, err := fs.Lock(root + "/dir/file"); return err },
		"link from":   func(fs vfs.FS, root string) error { return fs.Link(root+"/dir/file", root+"/new") },
		"link to":     func(fs vfs.FS, root string) error { return fs.Link(root+"/own", root+"/dir/new") },
		"rename from": func(fs vfs.FS, root string) error { return fs.Rename(root+"/dir/file", root+"/new") },
		"rename to":   func(fs vfs.FS, root string) error { return fs.Rename(root+"/own", root+"/dir/file") },
		"rename over": func(fs vfs.FS, root string) error { return fs.Rename(root+"/own", root+"/dir") },
		"remove":      func(fs vfs.FS, root string) error { return fs.Remove(root + "/dir/file") },
		"remove link": func(fs vfs.FS, root string) error { return fs.Remove(root + "/dir") },
		"remove all":  func(fs vfs.FS, root string) error { return fs.RemoveAll(root + "/dir") },
		"mkdir":       func(fs vfs.FS, root string) error { return fs.MkdirAll(root+"/dir/new", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			for system, fs := range map[string]vfs.FS{"disk": disk.OS(0), "pebble": vfs.Default, "wrapped": &failing{FS: disk.OS(0)}} {
				root, outside := linkedTree(t)
				err := work(disk.Within(fs, root, nil), root)
				var kind *disk.KindError
				if !errors.As(err, &kind) || kind.Path != filepath.Join(root, "dir") || len(messages.Hints(err)) == 0 {
					t.Errorf("%s: error is %v", system, err)
				}
				names, listErr := os.ReadDir(outside)
				data, readErr := os.ReadFile(filepath.Join(outside, "file"))
				if len(names) != 1 || string(data) != kept || errors.Join(listErr, readErr) != nil {
					t.Errorf("%s: behind the link are %v, the file has %q", system, names, data)
				}
				if !disk.IsLink(fs, filepath.Join(root, "dir")) {
					t.Errorf("%s: the link is gone", system)
				}
			}
		})
	}
}

// failing is a file system whose RemoveAll fails with an error, unless it is nil.
type failing struct {
	vfs.FS
	err error
}

func (f *failing) Unwrap() vfs.FS { return f.FS }

func (f *failing) RemoveAll(path string) error {
	if f.err != nil {
		return f.err
	}
	return f.FS.RemoveAll(path)
}

// TestWithinLetsThroughWhatHasNoLink, and knows links below the root of the file system too.
func TestWithinLetsThroughWhatHasNoLink(t *testing.T) {
	root, _ := linkedTree(t)
	fs := disk.Within(disk.OS(0), root, nil)
	mustDo(t, fs.MkdirAll(root+"/a/b", 0))
	mustDo(t, closing(fs.Create(root+"/a/b/file", "")))
	mustDo(t, fs.Link(root+"/a/b/file", root+"/a/linked"))
	mustDo(t, fs.Rename(root+"/a/b/file", root+"/a/file"))
	mustDo(t, closing(fs.ReuseForWrite(root+"/a/file", root+"/a/reused", "")))
	mustDo(t, closing(fs.OpenReadWrite(root+"/a/new", "")))
	mustDo(t, closing(fs.Lock(root+"/a/LOCK")))
	mustDo(t, closing(fs.OpenDir(root+"/a")))
	mustDo(t, fs.Remove(root+"/a/b"))
	names, err := fs.List(root + "/a")
	slices.Sort(names)
	if want := []string{"LOCK", "linked", "new", "reused"}; !slices.Equal(names, want) || err != nil {
		t.Errorf("names are %q, want %q: %v", names, want, err)
	}
	if _, err := fs.Stat(root + "/missing/file"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat of a missing file: %v", err)
	}
	if _, err := disk.Within(disk.OS(0), "/", nil).Stat(root + "/dir/file"); !errors.Is(err, disk.ErrKind) {
		t.Errorf("a link below the root of the file system: %v", err)
	}
	if disk.IsLink(vfs.NewMem(), "/") || disk.IsLink(disk.OS(0), root+"/missing") {
		t.Error("what is none is a link")
	}
}

func closing[C interface{ Close() error }](c C, err error) error {
	if err != nil {
		return err
	}
	return c.Close()
}

func TestWithinGoesThroughALinkThatIsMeant(t *testing.T) {
	root, outside := linkedTree(t)
	fs := disk.Within(disk.OS(0), root, func(path string) bool { return path == "dir" })
	if data, err := disk.ReadFile(fs, filepath.Join(root, "dir", "file"), 100); string(data) != kept || err != nil {
		t.Errorf("behind the link is %q: %v", data, err)
	}
	mustDo(t, closing(fs.Create(filepath.Join(root, "dir", "new"), "")))
	mustDo(t, fs.Rename(filepath.Join(root, "dir", "new"), filepath.Join(root, "dir", "renamed")))
	mustDo(t, fs.Remove(filepath.Join(root, "dir", "renamed")))
	for _, err := range []error{fs.Remove(filepath.Join(root, "dir")), fs.RemoveAll(filepath.Join(root, "dir"))} {
		if !errors.Is(err, disk.ErrKind) {
			t.Errorf("the link itself is removed: %v", err)
		}
	}
	mustDo(t, os.Symlink(outside, filepath.Join(outside, "inner")))
	if _, err := fs.Stat(filepath.Join(root, "dir", "inner", "file")); !errors.Is(err, disk.ErrKind) {
		t.Errorf("a link behind the link: %v", err)
	}
	if disk.Within(vfs.NewMem(), "/", nil).Unwrap() != nil {
		t.Error("a file system without links is wrapped")
	}
}

func TestRemoveKnownKeepsWhatIsForeign(t *testing.T) {
	known := func(elements ...string) disk.Kind {
		switch elements[len(elements)-1] {
		case "ours", "ours too", "ours linked":
			return disk.File
		case "dir":
			return disk.Dir
		}
		return disk.Foreign
	}
	for _, c := range []struct{ foreign, left []string }{
		{nil, nil},
		{[]string{"notes"}, []string{"notes"}},
		{[]string{"dir/notes"}, []string{"dir", "dir/notes"}},
		// A directory by the name of a file is nobody's that Gabion knows.
		{[]string{"ours too/notes"}, []string{"ours too", "ours too/notes"}},
		{[]string{"dir/ours too/ours"}, []string{"dir", "dir/ours too", "dir/ours too/ours"}},
	} {
		outside, top := t.TempDir(), filepath.Join(t.TempDir(), "top")
		for _, name := range []string{"ours", "notes"} {
			mustDo(t, os.WriteFile(filepath.Join(outside, name), []byte(kept), 0o600))
		}
		for _, name := range append([]string{"ours", "dir/ours"}, c.foreign...) {
			mustDo(t, os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o700))
			mustDo(t, os.WriteFile(filepath.Join(top, name), nil, 0o600))
		}
		// A link in a directory's place goes, and nothing behind it.
		mustDo(t, os.Symlink(outside, filepath.Join(top, "dir", "dir")))
		mustDo(t, os.Symlink(outside, filepath.Join(top, "ours linked")))
		foreign, err := disk.RemoveKnown(disk.OS(0), top, known)
		mustDo(t, err)
		if len(foreign) != len(c.foreign) {
			t.Errorf("foreign are %v, want %v", foreign, c.foreign)
		}
		var left []string
		_ = filepath.WalkDir(top, func(path string, _ os.DirEntry, err error) error {
			if err == nil && path != top {
				name, _ := filepath.Rel(top, path)
				left = append(left, filepath.ToSlash(name))
			}
			return nil
		})
		if !slices.Equal(left, c.left) {
			t.Errorf("left are %v, want %v", left, c.left)
		}
		if data, err := os.ReadFile(filepath.Join(outside, "ours")); string(data) != kept || err != nil {
			t.Errorf("behind the link is %q: %v", data, err)
		}
	}
}

// TestRemoveKnownOfOthers: a file in the place of a directory goes, a missing directory is no error, and a failure is.
func TestRemoveKnownOfOthers(t *testing.T) {
	known := func(elements ...string) disk.Kind {
		if elements[0] == "foreign" {
			return disk.Foreign
		}
		return disk.Dir
	}
	top := filepath.Join(t.TempDir(), "top")
	if foreign, err := disk.RemoveKnown(disk.OS(0), top, known); len(foreign) > 0 || err != nil {
		t.Errorf("a missing directory: %q, %v", foreign, err)
	}
	mustDo(t, os.WriteFile(top, nil, 0o600))
	if foreign, err := disk.RemoveKnown(disk.OS(0), top, known); len(foreign) > 0 || err != nil {
		t.Errorf("a file: %q, %v", foreign, err)
	}
	if _, err := os.Lstat(top); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	mustDo(t, os.Mkdir(top, 0o700))
	for _, name := range []string{"foreign", "a file"} {
		mustDo(t, os.WriteFile(filepath.Join(top, name), nil, 0o600))
	}
	broken := errors.New("broken")
	if foreign, err := disk.RemoveKnown(&failing{disk.OS(0), broken}, top, known); len(foreign) != 1 || !errors.Is(err, broken) {
		t.Errorf("a removal that fails: %q, %v", foreign, err)
	}
}
