package store

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// within fails the test when work lasts too long, with what every goroutine does.
func within(t testing.TB, limit time.Duration, what string, work func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		t.Fatalf("%s hangs\n%s", what, stacks)
	}
}

func TestFreezeByHandAndByPebble(t *testing.T) {
	for name, freeze := range map[string]func(s *Store){
		"by hand": func(s *Store) { s.Freeze(fmt.Errorf("a goroutine panicked: %w", errFault)) },
		"Fatalf":  func(s *Store) { pebbleLogger{logger: discard(), freeze: s.Freeze}.Fatalf("%v", errFault) },
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			d := openDirectory(t, mem)
			told := make(chan error, 8)
			s := openTable(t, d, func(o *OpenOptions) { o.OnFreeze = func(cause error) { told <- cause } })
			mustPut(t, s, "k0000", "v")
			freeze(s)
			freeze(s)
			if cause := <-told; !strings.Contains(cause.Error(), errFault.Error()) {
				t.Errorf("told %v", cause)
			}
			if err := put(s, "b", "v"); !errors.Is(err, ErrFrozen) {
				t.Errorf("put = %v", err)
			}
			closeAll(t, s, d)
			checkKept(t, mem, map[string]string{"k0000": "v"})
		})
	}
}

func TestFreezeTellsItsFirstCauseOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []error
		z := newFreezer(vfs.NewMem(), "/dir", time.Minute, func(cause error) { told = append(told, cause) })
		if z.why() != nil {
			t.Errorf("a new one is frozen by %v", z.why())
		}
		for _, cause := range []error{errFault, errors.New("a later cause")} {
			z.freeze(cause)
			synctest.Wait()
		}
		if len(told) != 1 || told[0] != errFault || z.why() != errFault {
			t.Errorf("told %v, frozen by %v, want the first cause once", told, z.why())
		}
	})
}

// A crash may keep a marker and lose the name of the MANIFEST beside it, were that not durable before.
func TestMarkerIsMadeAfterItsManifestIsDurable(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	d := openDirectory(t, fs)
	markers := 0
	fs.hooks(func(o fileOp) error {
		prefix, manifest, found := strings.Cut(o.base(), ".MANIFEST-")
		if o.kind != "create" || !found || !strings.HasPrefix(prefix, "marker.manifest.") {
			return nil
		}
		markers++
		named := mem.PathJoin(mem.PathDir(o.path), "MANIFEST-"+manifest)
		if ok, err := Exists(crash(mem, 0, nil), named); !ok || err != nil {
			t.Errorf("%s is made before %s is durable: %v", o.base(), named, err)
		}
		return nil
	}, nil)
	s := openTable(t, d)
	closeAll(t, s, d)
	if markers < 2 {
		t.Errorf("%d markers were made, want one by the creation and one by the open", markers)
	}
}

// A crash may lose the new marker's name and the old one's, were the new one not durable before: a file system need not keep
// the order of two names.
func TestMarkerIsRemovedAfterItsSuccessorIsDurable(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	d := openDirectory(t, fs)
	removals := 0
	fs.hooks(func(o fileOp) error {
		if o.kind != "remove" || !strings.HasPrefix(o.base(), "marker.") {
			return nil
		}
		removals++
		names, err := crash(mem, 0, nil).List(mem.PathDir(o.path))
		if err != nil || !slices.ContainsFunc(names, func(name string) bool {
			return strings.HasPrefix(name, "marker.manifest.") && name > o.base()
		}) {
			t.Errorf("%s is removed, and of its successor nothing is durable: %v, %v", o.base(), names, err)
		}
		return nil
	}, nil)
	s := openTable(t, d)
	closeAll(t, s, d)
	if removals == 0 {
		t.Error("no marker was removed")
	}
}

// A failed fsync before that removal is one of the lineage's directory: it freezes.
func TestFailedSyncBeforeAMarkerIsRemovedFreezes(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	z := newFreezer(fs, "/dir", time.Minute, nil)
	fs.hooks(func(o fileOp) error {
		if o.kind == "remove" {
			t.Errorf("%s is removed", o.path)
		}
		return errFault
	}, nil)
	if err := z.Remove("/dir/marker.manifest.000001.MANIFEST-000001"); err != nil || !errors.Is(z.why(), errFault) {
		t.Errorf("Remove = %v, frozen by %v", err, z.why())
	}
}

// A group that was written when the store froze must not be acknowledged by a Wait that comes later.
func TestFreezeBetweenApplyAndWait(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d)
	g, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Put([]byte("a"), []byte("1")); err != nil {
		t.Fatal(err)
	}
	c, err := s.Apply(g)
	if err != nil {
		t.Fatal(err)
	}
	s.Freeze(errFault)
	if err := c.Wait(); !errors.Is(err, ErrFrozen) || !errors.Is(err, errFault) || s.Acked() != 0 {
		t.Errorf("Wait = %v, acked %d", err, s.Acked())
	}
	closeAll(t, s, d)
}

func TestFrozenLinkIsNoReasonToCopy(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	z := newFreezer(fs, "/dir", time.Minute, nil)
	for range 2 {
		err := z.Link("/dir/absent", "/staging/x")
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("Link = %v: Pebble would copy instead", err)
		}
		z.freeze(errFault)
	}
}

// What Pebble makes while frozen it finds again, under its new name too, and until it removes it; the disk has none
// of it, and keeps what it had.
func TestFrozenFilesLiveInMemory(t *testing.T) {
	mem := vfs.NewMem()
	for _, name := range []string{"both", "old", "kept"} {
		writeFile(t, mem, "/dir/"+name, "on the disk")
	}
	z := newFreezer(mem, "/dir", time.Minute, nil)
	z.freeze(errFault)
	before := tree(t, mem, "/")
	check := func(name, want string) {
		t.Helper()
		info, err := z.Stat("/dir/" + name)
		data, readErr := ReadFile(z, "/dir/"+name)
		switch {
		case want == "" && (!errors.Is(err, os.ErrNotExist) || !errors.Is(readErr, os.ErrNotExist)):
			t.Errorf("%s: Stat = %v, Open = %v, want ErrNotExist", name, err, readErr)
		case want != "" && (err != nil || readErr != nil || info.Size() != int64(len(want)) || string(data) != want):
			t.Errorf("%s: Stat = %v, %v, content %q, %v, want %q", name, info, err, data, readErr, want)
		}
	}
	for _, name := range []string{"both", "new", "gone"} {
		if err := WriteSynced(z, "/dir/"+name, []byte("frozen "+name)); err != nil {
			t.Fatal(err)
		}
	}
	check("both", "frozen both")
	check("new", "frozen new")
	check("old", "on the disk")
	for _, err := range []error{
		z.Rename("/dir/new", "/dir/renamed"), z.Rename("/dir/old", "/dir/newer"),
		z.Remove("/dir/gone"), z.Remove("/dir/both"), z.Remove("/dir/kept"), z.RemoveAll("/dir"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	check("renamed", "frozen new")
	check("new", "")
	check("gone", "")
	check("both", "on the disk")
	check("kept", "on the disk")
	checkTree(t, before, tree(t, mem, "/"))
}
