package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// checkOpenRefused opens the table "t" twice: both times it must be refused with an error that check likes and
// that has a hint, and nothing may change on the disk but LOCK files.
func checkOpenRefused(t *testing.T, d *Directory, o OpenOptions, check func(error)) {
	t.Helper()
	before := tree(t, d.FS(), testDir)
	text := ""
	for i := range 2 {
		s, err := d.Open("t", o)
		if err == nil {
			closeAll(t, s)
			t.Fatal("a damaged table was opened")
		}
		check(err)
		checkHint(t, err)
		if i > 0 && err.Error() != text {
			t.Errorf("the second open says %q, the first said %q", err, text)
		}
		text = err.Error()
		checkTree(t, before, tree(t, d.FS(), testDir))
	}
}

// ruin is a table to be damaged: ten groups, key k1 to k10. The first four are in an sstable, the others in
// the WAL, unless it was closed.
type ruin struct {
	disk    *vfs.MemFS
	lineage string
	path    string
	wal     string
	walSize []int64 // after each seq, from seq 4
	// older is the disk at an earlier time, as a backup has it.
	older *vfs.MemFS
}

func newRuin(t *testing.T, clean bool) *ruin {
	t.Helper()
	mem := vfs.NewCrashableMem()
	d := openDirectory(t, mem)
	s := openTable(t, d)
	r := &ruin{lineage: s.Lineage(), path: s.path, disk: mem}
	for seq := 1; seq <= 10; seq++ {
		mustPut(t, s, fmt.Sprintf("k%d", seq), strings.Repeat("v", 50))
		if seq == 4 {
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			names, err := mem.List(s.path)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if path := mem.PathJoin(s.path, name); strings.HasSuffix(name, ".log") && path > r.wal {
					r.wal = path
				}
			}
		}
		if seq >= 4 {
			info, err := mem.Stat(r.wal)
			if err != nil {
				t.Fatal(err)
			}
			r.walSize = append(r.walSize, info.Size())
		}
	}
	if !clean {
		r.disk = killed(mem)
	}
	closeAll(t, s, d)
	return r
}

func (r *ruin) remove(t *testing.T, match string) {
	t.Helper()
	n := 0
	for name := range tree(t, r.disk, r.path) {
		if strings.Contains(strings.TrimPrefix(name, r.path), match) {
			n++
			if err := r.disk.RemoveAll(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n == 0 {
		t.Fatalf("no file is called %s", match)
	}
}

// rewriteRecord changes the table's record behind the store's back.
func (r *ruin) rewriteRecord(t *testing.T, change func(*messages.TableRecord)) {
	t.Helper()
	db, err := pebble.Open(r.path, &pebble.Options{FS: r.disk, FormatMajorVersion: PebbleFormat,
		Logger: pebbleLogger{logger: discard(), freeze: func(error) {}}})
	if err != nil {
		t.Fatal(err)
	}
	record, err := readRecord(db)
	if err != nil {
		t.Fatal(err)
	}
	change(record)
	data, err := marshalRecord(nil, record)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Set(recordKey, data, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	closeAll(t, db)
}

func TestDamageIsRefusedUntouched(t *testing.T) {
	const other = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	current := testDir + "/tables/t/" + currentFile
	remove := func(match string) func(*testing.T, *ruin) {
		return func(t *testing.T, r *ruin) { r.remove(t, match) }
	}
	cases := map[string]func(t *testing.T, r *ruin){
		"current is no lineage":       func(t *testing.T, r *ruin) { writeFile(t, r.disk, current, "../../x\n") },
		"current is empty":            func(t *testing.T, r *ruin) { writeFile(t, r.disk, current, "") },
		"current names nothing":       func(t *testing.T, r *ruin) { writeFile(t, r.disk, current, other+"\n") },
		"lineage directory removed":   remove(""),
		"marker.manifest removed":     remove("marker.manifest"),
		"all markers removed":         remove("marker."),
		"MANIFEST removed":            remove("MANIFEST-"),
		"sstable removed":             remove(".sst"),
		"everything in it is removed": remove("/"),
		"record of another lineage": func(t *testing.T, r *ruin) {
			path := testDir + "/tables/t/" + other
			if _, err := vfs.Clone(r.disk, r.disk, r.path, path); err != nil {
				t.Fatal(err)
			}
			if _, err := vfs.Clone(r.disk, r.disk, r.path+markSuffix, path+markSuffix); err != nil {
				t.Fatal(err)
			}
			writeFile(t, r.disk, current, other+"\n")
		},
		"MANIFEST is garbage": func(t *testing.T, r *ruin) {
			for name, content := range tree(t, r.disk, r.path) {
				if strings.Contains(name, "MANIFEST-") {
					writeFile(t, r.disk, name, strings.Repeat("x", len(content)))
				}
			}
		},
	}
	for name, damage := range cases {
		for _, clean := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, clean %v", name, clean), func(t *testing.T) {
				r := newRuin(t, clean)
				damage(t, r)
				for _, readOnly := range []bool{false, true} {
					d := openDirectory(t, r.disk, func(o *DirectoryOptions) { o.ReadOnly = readOnly })
					checkOpenRefused(t, d, OpenOptions{Create: true}, func(err error) {
						if !errors.Is(err, messages.ErrDataLoss) {
							t.Errorf("read-only %v: Open = %v, want ErrDataLoss", readOnly, err)
						}
					})
					closeAll(t, d)
				}
			})
		}
	}
}

// Pebble does not say of a short sstable that it is damage.
func TestTruncatedSSTableIsRefusedUntouched(t *testing.T) {
	for _, clean := range []bool{false, true} {
		for _, share := range []int{0, 2, 1000} {
			r := newRuin(t, clean)
			for name, content := range tree(t, r.disk, r.path) {
				if strings.HasSuffix(name, ".sst") {
					writeFile(t, r.disk, name, content[:len(content)*share/1001])
				}
			}
			d := openDirectory(t, r.disk)
			checkOpenRefused(t, d, OpenOptions{}, func(err error) {
				if !errors.Is(err, messages.ErrDataLoss) {
					t.Errorf("Open = %v, want ErrDataLoss", err)
				}
			})
			closeAll(t, d)
		}
	}
}

func TestRecordThatDoesNotBelongIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*messages.TableRecord)
		want   error
	}{
		"another table":     {func(r *messages.TableRecord) { r.Table = "u" }, messages.ErrDataLoss},
		"newer format":      {func(r *messages.TableRecord) { r.FormatVersion = FormatVersion + 1 }, ErrNewer},
		"short of the mark": {func(r *messages.TableRecord) { r.Position.Seq-- }, messages.ErrDataLoss},
	} {
		check := func(err error) {
			t.Helper()
			if !errors.Is(err, c.want) {
				t.Errorf("Open = %v, want %v", err, c.want)
			}
		}
		t.Run(name, func(t *testing.T) {
			r := newRuin(t, false)
			r.rewriteRecord(t, c.change)
			d := openDirectory(t, r.disk)
			checkOpenRefused(t, d, OpenOptions{}, check)
			closeAll(t, d)
		})
		// After a clean stop Pebble writes before the record is read, but it is refused no less.
		t.Run(name+", clean", func(t *testing.T) {
			r := newRuin(t, true)
			r.rewriteRecord(t, c.change)
			d := openDirectory(t, r.disk)
			for range 2 {
				_, err := d.Open("t", OpenOptions{})
				check(err)
				checkHint(t, err)
			}
			closeAll(t, d)
		})
	}
}

// checkLoss checks that the table is refused, and what the error says is lost.
func checkLoss(t *testing.T, r *ruin, o OpenOptions, want LossError) {
	t.Helper()
	d := openDirectory(t, r.disk)
	checkOpenRefused(t, d, o, func(err error) {
		var loss *LossError
		if !errors.As(err, &loss) || !errors.Is(err, messages.ErrDataLoss) {
			t.Fatalf("Open = %v, want a LossError", err)
		}
		if *loss != want {
			t.Errorf("loss %+v, want %+v", *loss, want)
		}
	})
	closeAll(t, d)
}

func TestLossBelowTheMarkIsRefused(t *testing.T) {
	const witness = "high-water mark"
	t.Run("WAL removed", func(t *testing.T) {
		r := newRuin(t, false)
		r.remove(t, ".log")
		checkLoss(t, r, OpenOptions{}, LossError{r.lineage, 4, 10, witness})
	})
	for seq := uint64(4); seq < 10; seq++ {
		r := newRuin(t, false)
		wal := tree(t, r.disk, r.path)[r.wal]
		end, next := r.walSize[seq-4], r.walSize[seq-3]
		for _, cut := range []int64{end, end + 1, (end + next) / 2, next - 1} {
			t.Run(fmt.Sprintf("WAL truncated after seq %d, at %d", seq, cut), func(t *testing.T) {
				r := r.clone()
				writeFile(t, r.disk, r.wal, wal[:cut])
				checkLoss(t, r, OpenOptions{}, LossError{r.lineage, seq, 10, witness})
			})
		}
	}
	t.Run("WAL's last record flipped", func(t *testing.T) {
		r := newRuin(t, false)
		wal := []byte(tree(t, r.disk, r.path)[r.wal])
		wal[r.walSize[5]+20] ^= 1
		writeFile(t, r.disk, r.wal, string(wal))
		checkLoss(t, r, OpenOptions{}, LossError{r.lineage, 9, 10, witness})
	})
}

// clone is the same ruin on a disk of its own.
func (r *ruin) clone() *ruin {
	c := *r
	c.disk = killed(r.disk)
	return &c
}

// Whatever byte of a WAL is damaged, the table is refused or nothing is missing.
func TestEveryFlippedByteOfAWALIsSeen(t *testing.T) {
	r := newRuin(t, false)
	wal := tree(t, r.disk, r.path)[r.wal]
	for i := range wal {
		c := r.clone()
		flipped := []byte(wal)
		flipped[i] ^= 0x10
		writeFile(t, c.disk, c.wal, string(flipped))
		d := openDirectory(t, c.disk)
		s, err := d.Open("t", OpenOptions{})
		switch {
		case err == nil:
			if got := rows(t, s); len(got) != 10 {
				t.Errorf("byte %d flipped: served %d rows of 10", i, len(got))
			}
			checkRecord(t, s.Record(), rows(t, s))
			closeAll(t, s)
		case !errors.Is(err, messages.ErrDataLoss):
			t.Errorf("byte %d flipped: %v, want ErrDataLoss", i, err)
		}
		closeAll(t, d)
	}
}

func TestLossBelowTheNewestBackupIsRefused(t *testing.T) {
	for _, clean := range []bool{false, true} {
		t.Run(fmt.Sprintf("clean %v", clean), func(t *testing.T) {
			r := newRuin(t, clean)
			checkLoss(t, r, OpenOptions{Newest: func(string) (uint64, error) { return 12, nil }},
				LossError{r.lineage, 10, 12, "newest backup"})
		})
	}
}
