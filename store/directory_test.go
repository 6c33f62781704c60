package store

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/oklog/ulid/v2"

	"github.com/gabiondb/gabion/messages"
)

// onBoth runs test with a memory and with the real file system, each with an existing empty directory.
func onBoth(t *testing.T, test func(t *testing.T, fs vfs.FS, dir string)) {
	t.Run("memory", func(t *testing.T) {
		mem := vfs.NewMem()
		if err := mem.MkdirAll("/parent", 0o755); err != nil {
			t.Fatal(err)
		}
		test(t, mem, "/parent")
	})
	t.Run("real", func(t *testing.T) { test(t, RealFS(), mustRealPath(t, RealFS(), t.TempDir())) })
}

func writeFile(t *testing.T, fs vfs.FS, path, content string) {
	t.Helper()
	if err := fs.MkdirAll(fs.PathDir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteSynced(fs, path, []byte(content)); err != nil {
		t.Fatal(err)
	}
}

func TestUnusableDirectoryIsRefusedUntouched(t *testing.T) {
	for name, c := range map[string]struct {
		files    map[string]string // below the parent; the directory is "dir"
		readOnly bool
		want     error
	}{
		"foreign":                    {files: map[string]string{"dir/photo.jpg": "x"}, want: ErrForeign},
		"tables without gabion.json": {files: map[string]string{"dir/tables/t/current": "x"}, want: ErrForeign},
		"file":                       {files: map[string]string{"dir": "x"}, want: ErrForeign},
		"newer": {files: map[string]string{"dir/gabion.json": `{"storeId":"S","formatVersion":2}`},
			want: ErrNewer},
		"newer, with fields unknown here": {files: map[string]string{
			"dir/gabion.json": `{"storeId":"S","formatVersion":7,"shards":[1]}`}, want: ErrNewer},
		"missing parent":     {want: os.ErrNotExist},
		"missing, read-only": {files: map[string]string{"other": ""}, readOnly: true, want: messages.ErrNotFound},
		"empty, read-only":   {files: map[string]string{"dir/LOCK": ""}, readOnly: true, want: messages.ErrNotFound},
		"foreign, read-only": {files: map[string]string{"dir/x": "x"}, readOnly: true, want: ErrForeign},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, fs vfs.FS, parent string) {
				for name, content := range c.files {
					writeFile(t, fs, fs.PathJoin(parent, name), content)
				}
				path := fs.PathJoin(parent, "dir")
				if len(c.files) == 0 {
					path = fs.PathJoin(parent, "absent", "dir")
				}
				checkRefused(t, fs, parent, path, c.readOnly, c.want)
			})
		})
	}
}

// checkRefused checks that path cannot be opened, twice, and that nothing below parent changes.
func checkRefused(t *testing.T, fs vfs.FS, parent, path string, readOnly bool, want error) {
	t.Helper()
	before := tree(t, fs, parent)
	for range 2 {
		err := CheckDirectory(fs, path, readOnly)
		if !errors.Is(err, want) {
			t.Errorf("CheckDirectory = %v, want %v", err, want)
		}
		checkHint(t, err)
		_, err = OpenDirectory(DirectoryOptions{FS: fs, Path: path, ReadOnly: readOnly})
		if !errors.Is(err, want) {
			t.Errorf("OpenDirectory = %v, want %v", err, want)
		}
		checkHint(t, err)
	}
	after := tree(t, fs, parent)
	checkTree(t, before, after)
	if len(after) != len(before) {
		t.Errorf("a LOCK file is new: %v", slices.Sorted(maps.Keys(after)))
	}
}

func TestDamagedInfoIsRefusedUntouched(t *testing.T) {
	onBoth(t, func(t *testing.T, fs vfs.FS, parent string) {
		path := fs.PathJoin(parent, "dir")
		writeFile(t, fs, fs.PathJoin(path, infoFile), `{"storeId":`)
		before := tree(t, fs, parent)
		_, err := OpenDirectory(DirectoryOptions{FS: fs, Path: path})
		if err == nil {
			t.Fatal("opened")
		}
		checkHint(t, err)
		checkTree(t, before, tree(t, fs, parent))
	})
}

func TestEmptyPathIsInvalid(t *testing.T) {
	err := CheckDirectory(vfs.NewMem(), "", false)
	if !errors.Is(err, messages.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	checkHint(t, err)
	// An empty working directory is the one that could be taken for a new DIR.
	t.Chdir(t.TempDir())
	if _, err := OpenDirectory(DirectoryOptions{FS: RealFS()}); !errors.Is(err, messages.ErrInvalid) {
		t.Errorf("OpenDirectory(\"\") = %v, want ErrInvalid", err)
	}
	if names, err := os.ReadDir("."); err != nil || len(names) > 0 {
		t.Errorf("the working directory holds %v, %v", names, err)
	}
}

func TestUnwritableDirectoryIsRefusedUntouched(t *testing.T) {
	for _, cause := range []error{os.ErrPermission, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOSPC} {
		t.Run(cause.Error(), func(t *testing.T) {
			onBoth(t, func(t *testing.T, real vfs.FS, parent string) {
				path := real.PathJoin(parent, "dir")
				fs := &hookFS{FS: real}
				refuse := func(o fileOp) error {
					if o.changes() {
						return &os.PathError{Op: o.kind, Path: o.path, Err: cause}
					}
					return nil
				}
				check := func(what string) {
					t.Helper()
					before := tree(t, real, parent)
					fs.hooks(refuse, nil)
					defer fs.hooks(nil, nil)
					d, err := OpenDirectory(DirectoryOptions{FS: fs, Path: path})
					if err == nil && what == "made" && cause == syscall.ENOSPC {
						// Nothing has to be written there, where the system can lock gabion.json.
						closeAll(t, d)
						checkTree(t, before, tree(t, real, parent))
						return
					}
					if !errors.Is(err, cause) || errors.Is(err, ErrHeld) {
						t.Errorf("%s: got %v, want %v", what, err, cause)
					}
					checkHint(t, err)
					checkTree(t, before, tree(t, real, parent))
				}
				check("missing")
				if err := real.MkdirAll(path, 0o755); err != nil {
					t.Fatal(err)
				}
				check("empty")
				d, err := OpenDirectory(DirectoryOptions{FS: fs, Path: path, CacheBytes: 1 << 20})
				if err != nil {
					t.Fatal(err)
				}
				closeAll(t, d)
				check("made")
			})
		})
	}
}

func TestOpenDirectoryGivesUpCleanlyAtEveryFailure(t *testing.T) {
	for n := 0; ; n++ {
		mem := vfs.NewMem()
		fs := &hookFS{FS: mem}
		needless, staging := false, false
		before, fired := failNth(n, errFault, func(o fileOp) bool { return o.kind != "read" })
		fs.hooks(func(o fileOp) error {
			err := before(o)
			// The note of the holder, the second lock and staging are not needed to serve a table.
			staging = staging || o.base() == stagingDir // the last step
			needless = needless || err != nil && (staging || o.base() == holderFile || o.base() == infoFile && o.kind == "open")
			return err
		}, nil)
		d, err := OpenDirectory(DirectoryOptions{FS: fs, Path: testDir, CacheBytes: 1 << 20})
		fs.hooks(nil, nil)
		if !fired() {
			if err != nil || n < 15 {
				t.Fatalf("after %d operations: %v", n, err)
			}
			closeAll(t, d)
			return
		}
		switch {
		case err == nil && needless:
			closeAll(t, d)
		case !errors.Is(err, errFault):
			t.Fatalf("operation %d failed: %v", n, err)
		}
		// Nothing stays held, and what is there already does not stop the next one.
		closeAll(t, openDirectory(t, mem))
	}
}

func TestOpenDirectorySurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for _, percent := range []int{0, 1 + rng.IntN(99), 1 + rng.IntN(99), 1 + rng.IntN(99)} {
		mem := vfs.NewCrashableMem()
		fs := &hookFS{FS: mem}
		var images []*vfs.MemFS
		fs.hooks(nil, func(o fileOp) {
			if o.changes() {
				images = append(images, crash(mem, percent, rng))
			}
		})
		d := openDirectory(t, fs)
		fs.hooks(nil, nil)
		id := d.StoreID()
		closeAll(t, d)
		for _, image := range images {
			closeAll(t, openDirectory(t, image))
		}
		again := openDirectory(t, crash(mem, percent, rng))
		if again.StoreID() != id {
			t.Errorf("at %d %%: store id %s after a crash, was %s", percent, again.StoreID(), id)
		}
		closeAll(t, again)
	}
}

func TestOpenDirectorySweepsStaging(t *testing.T) {
	mem := vfs.NewMem()
	d := openDirectory(t, mem, func(o *DirectoryOptions) { o.StoreID = "chosen" })
	if d.StoreID() != "chosen" || d.Path() != testDir || d.ReadOnly() || d.FS() != vfs.FS(mem) {
		t.Errorf("id %s, path %s, read-only %v", d.StoreID(), d.Path(), d.ReadOnly())
	}
	staged := d.Staging("RUN", "t")
	writeFile(t, mem, staged+"/000001.sst", "x")
	closeAll(t, d)

	d = openDirectory(t, mem, func(o *DirectoryOptions) { o.ReadOnly = true })
	if ok, _ := Exists(mem, staged); !ok {
		t.Error("a read-only open swept the staging")
	}
	closeAll(t, d)

	d = openDirectory(t, mem, func(o *DirectoryOptions) { o.StoreID = "another" })
	if names, err := mem.List(testDir + "/" + stagingDir); err != nil || len(names) != 0 {
		t.Errorf("staging holds %v, %v", names, err)
	}
	if d.StoreID() != "chosen" {
		t.Errorf("store id %s, want the one in gabion.json", d.StoreID())
	}
	closeAll(t, d)
}

func TestTablesListsWhatCouldBeATable(t *testing.T) {
	mem := vfs.NewMem()
	d := openDirectory(t, mem)
	for _, name := range []string{"zebra", "ant", ".hidden", "con", "Upper"} {
		if err := mem.MkdirAll(testDir+"/tables/"+name+"/"+ulid.Make().String(), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := mem.MkdirAll(testDir+"/tables/bare", 0o755); err != nil {
		t.Fatal(err)
	}
	if names, err := d.Tables(); err != nil || !slices.Equal(names, []string{"ant", "zebra"}) {
		t.Errorf("Tables = %v, %v", names, err)
	}
	closeAll(t, d)
}

func TestNewDirectoryBelowASymlink(t *testing.T) {
	real := mustRealPath(t, RealFS(), t.TempDir())
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDirectory(DirectoryOptions{FS: RealFS(), Path: filepath.Join(link, "new"), CacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(real, "new"); d.Path() != want {
		t.Errorf("path %s, want %s", d.Path(), want)
	}
	closeAll(t, d)
}
