package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// readCut opens a cut by Pebble alone and returns its record and rows.
func readCut(t fataler, fs vfs.FS, dir string) (*messages.TableRecord, map[string]string) {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, ReadOnly: true, ErrorIfNotExists: true,
		FormatMajorVersion: PebbleFormat, Logger: pebbleLogger{logger: discard(), freeze: func(error) {}}})
	if err != nil {
		t.Fatal(err)
	}
	record, err := readRecord(db)
	if err != nil {
		t.Fatal(err)
	}
	iter, err := db.NewIter(&pebble.IterOptions{LowerBound: userStart, UpperBound: userEnd})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for valid := iter.First(); valid; valid = iter.Next() {
		all[string(iter.Key()[1:])] = string(iter.Value())
	}
	closeAll(t, iter, db)
	return record, all
}

func TestCutHoldsExactlyWhatItsLabelSays(t *testing.T) {
	onBoth(t, func(t *testing.T, fs vfs.FS, parent string) {
		d := openDirectory(t, fs, func(o *DirectoryOptions) {
			o.Path, o.MemTableBytes = fs.PathJoin(parent, "dir"), 32<<10
		})
		s := openTable(t, d)
		for round := range 6 {
			for i := range 30 {
				mustPut(t, s, fmt.Sprintf("%d-%d", round%4, i), strings.Repeat("v", 10*i))
			}
			if err := commit(s, rangeStep("0-1", "0-2")); err != nil {
				t.Fatal(err)
			}
			if round%2 == 0 { // with and without rows that lie in the WAL alone
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			want := rows(t, s)
			dir := d.Staging(fmt.Sprint("RUN", round), "t")
			label, err := s.Cut(dir)
			if err != nil {
				t.Fatal(err)
			}
			// The table goes on, is flushed and compacted, before anybody looks at the cut.
			for i := range 30 {
				mustPut(t, s, fmt.Sprintf("%d-%d", round%4, i), "changed after the cut")
			}
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			if proto.Equal(label, s.Record()) {
				t.Error("the table did not move on")
			}
			record, got := readCut(t, fs, dir)
			if !proto.Equal(record, label) {
				t.Errorf("cut's record %v, label %v", record, label)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("cut holds %d rows, the table had %d", len(got), len(want))
			}
			checkRecord(t, label, got)
		}
		closeAll(t, s, d)
	})
}

func TestCutLinksTheSSTables(t *testing.T) {
	fs := RealFS()
	d := openDirectory(t, fs, func(o *DirectoryOptions) { o.Path = t.TempDir() })
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	// One sstable, which no compaction will take away while the test looks.
	compactAll(t, s)
	mustPut(t, s, "b", "2")
	dir := d.Staging("RUN", "t")
	if _, err := s.Cut(dir); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	linked := 0
	for _, name := range names {
		live, err := Identify(fs, fs.PathJoin(s.path, name))
		if err != nil {
			continue // not a file of the table: the cut's own marker and MANIFEST
		}
		cut, err := Identify(fs, fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if same := proto.Equal(live, cut); same != strings.HasSuffix(name, ".sst") {
			t.Errorf("%s: shares its inode with the live file: %v", name, same)
		} else if same {
			linked++
		}
	}
	if linked == 0 {
		t.Errorf("no sstable in %v", names)
	}
	closeAll(t, s, d)
}

// A recycled WAL keeps the length it once had, and a cut copies all of it in the commit path.
func TestCutAfterAFlushCopiesLittleWAL(t *testing.T) {
	mem := vfs.NewMem()
	d := openDirectory(t, mem, func(o *DirectoryOptions) { o.MemTableBytes = 64 << 10 })
	s := openTable(t, d)
	for round := range 10 {
		if _, errs := pipeline(t, s, random(t), 100); len(errs) > 0 {
			t.Fatal(errs)
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		mustPut(t, s, "one", "more")
		dir := d.Staging(fmt.Sprint("RUN", round), "t")
		if _, err := s.Cut(dir); err != nil {
			t.Fatal(err)
		}
		for path, content := range tree(t, mem, dir) {
			if strings.HasSuffix(path, ".log") && len(content) > 4<<10 {
				t.Errorf("round %d: the cut has %d B of %s", round, len(content), path)
			}
		}
	}
	closeAll(t, s, d)
}

// checkNoCut checks that a failed Cut has left nothing, and that the table has not noticed.
func checkNoCut(t *testing.T, s *Store, fs vfs.FS, dir, at string) {
	t.Helper()
	if ok, err := Exists(fs, dir); ok || err != nil {
		t.Errorf("%s: the cut is there: %v, %v", at, ok, err)
	}
	for path, content := range tree(t, fs, s.dir.path+"/"+stagingDir) {
		if content != "directory" {
			t.Errorf("%s: left %s", at, path)
		}
	}
	if s.Frozen() {
		t.Errorf("%s: frozen by %v", at, s.FrozenBy())
	}
	mustPut(t, s, at, "x")
}

func TestFailedStagingFailsTheCutAlone(t *testing.T) {
	mem := vfs.NewMem()
	fs := &hookFS{FS: mem}
	d := openDirectory(t, fs)
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "b", "2")
	staging := testDir + "/" + stagingDir
	seen := map[string]bool{}
	for n := 0; ; n++ {
		dir := d.Staging(fmt.Sprint("RUN", n), "t")
		at := fmt.Sprintf("operation %d", n)
		before, fired := failNth(n, errFault, func(o fileOp) bool {
			match := o.changes() && o.kind != "removeall" && strings.HasPrefix(o.path, staging)
			if match {
				seen[o.kind] = true
			}
			return match
		})
		fs.hooks(before, nil)
		_, err := s.Cut(dir)
		fs.hooks(nil, nil)
		if !fired() {
			if err != nil || n < 15 {
				t.Fatalf("after %d operations: %v", n, err)
			}
			break
		}
		if !errors.Is(err, errFault) {
			t.Errorf("%s: Cut = %v, want the fault", at, err)
		}
		checkNoCut(t, s, mem, dir, at)
	}
	for _, kind := range []string{"mkdir", "link", "create", "write", "sync"} {
		if !seen[kind] {
			t.Errorf("no %s was failed", kind)
		}
	}
	closeAll(t, s, d)
}

// On another file system, or one without links, a cut must fail at once and not copy the table.
func TestFailedLinkCopiesNothing(t *testing.T) {
	mem := vfs.NewMem()
	fs := &hookFS{FS: mem}
	d := openDirectory(t, fs)
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	copied := ""
	dir := d.Staging("RUN", "t")
	fs.hooks(func(o fileOp) error {
		if o.kind == "link" {
			return errFault
		}
		if o.kind == "create" && strings.HasPrefix(o.path, dir) && strings.HasSuffix(o.path, ".sst") {
			copied = o.path
		}
		return nil
	}, nil)
	_, err := s.Cut(dir)
	fs.hooks(nil, nil)
	if !errors.Is(err, errFault) {
		t.Errorf("Cut = %v, want the fault", err)
	}
	if copied != "" {
		t.Errorf("copied %s", copied)
	}
	checkNoCut(t, s, mem, dir, "link")
	if _, err := s.Cut(dir); err != nil {
		t.Errorf("the next cut to the same place: %v", err)
	}
	closeAll(t, s, d)
}

func TestCutNeverWritesOverAnother(t *testing.T) {
	mem := vfs.NewMem()
	d := openDirectory(t, mem)
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	dir := d.Staging("RUN", "t")
	if _, err := s.Cut(dir); err != nil {
		t.Fatal(err)
	}
	before := tree(t, mem, dir)
	if _, err := s.Cut(dir); err == nil {
		t.Error("a second cut to the same place succeeded")
	}
	if ok, _ := Exists(mem, dir); !ok {
		t.Fatal("the first cut is gone")
	}
	checkTree(t, before, tree(t, mem, dir))
	closeAll(t, s, d)
}

func TestCutWithoutAPartIsIncomplete(t *testing.T) {
	parts := []string{"MANIFEST-000001", "OPTIONS-000003", "marker.manifest.000001.MANIFEST-000001", "000002.log"}
	for _, missing := range parts {
		mem := vfs.NewMem()
		for _, name := range parts {
			if name != missing {
				writeFile(t, mem, "/cut/"+name, "x")
			}
		}
		if err := complete(mem, "/cut"); !errors.Is(err, messages.ErrDataLoss) {
			t.Errorf("complete without %s = %v", missing, err)
		}
		writeFile(t, mem, "/cut/"+missing, "x")
		if err := complete(mem, "/cut"); err != nil {
			t.Error(err)
		}
	}
}

// A store that freezes anywhere in a cut, also when everything seems to be there, has not made one.
func TestFreezeDuringACutFailsIt(t *testing.T) {
	for n := 0; ; n++ {
		mem := vfs.NewMem()
		fs := &hookFS{FS: mem}
		d := openDirectory(t, fs)
		s := openTable(t, d)
		mustPut(t, s, "a", "1")
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		mustPut(t, s, "b", "2")
		dir := d.Staging("RUN", "t")
		seen := 0
		fs.hooks(nil, func(o fileOp) {
			// The list is Cut's own, when the checkpoint is whole and on the disk.
			if !strings.HasPrefix(o.path, dir) || o.kind == "list" {
				return
			}
			if seen++; seen == n+1 {
				s.Freeze(errFault)
			}
		})
		_, err := s.Cut(dir)
		fs.hooks(nil, nil)
		if s.Frozen() {
			if !errors.Is(err, ErrFrozen) || !errors.Is(err, errFault) {
				t.Errorf("operation %d: Cut = %v, want ErrFrozen", n, err)
			}
			if ok, err := Exists(mem, dir); ok || err != nil {
				t.Errorf("operation %d: the cut is there: %v, %v", n, ok, err)
			}
		}
		frozen := s.Frozen()
		closeAll(t, s, d)
		if !frozen {
			if err != nil || n < 15 {
				t.Errorf("after %d operations: %v", n, err)
			}
			return
		}
	}
}

// The label goes into messages, whose receivers may do with it what they like.
func TestLabelOfACutIsTheCallersOwn(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	label, err := s.Cut(d.Staging("RUN", "t"))
	if err != nil {
		t.Fatal(err)
	}
	label.Count, label.Position.Seq = 77, 77
	if r := s.Record(); r.GetCount() != 1 || r.GetPosition().GetSeq() != 1 {
		t.Errorf("record %v after a change of the label", r)
	}
	closeAll(t, s, d)
}
