package backup_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// rewriteManifest changes a backup's manifest, with the hash that fits.
func rewriteManifest(t *testing.T, disk *hookFS, path string, change func(m *messages.Manifest)) {
	t.Helper()
	m, _, err := readManifest(disk.mem, path)
	must(t, err)
	change(m)
	data, err := protojson.Marshal(m)
	must(t, err)
	sum := sha256.Sum256(data)
	overwrite(t, disk.mem, disk.PathJoin(path, "manifest.json"), data)
	overwrite(t, disk.mem, disk.PathJoin(path, "manifest.sha256"), []byte(hex.EncodeToString(sum[:])))
}

// faults spoils a backup's manifest in every way that List must notice.
var faults = []struct {
	name     string
	spoil    func(t *testing.T, disk *hookFS, path string)
	want     error
	manifest bool // it can still be parsed
}{
	{"manifest missing", func(t *testing.T, disk *hookFS, path string) {
		must(t, disk.mem.Remove(disk.PathJoin(path, "manifest.json")))
	}, os.ErrNotExist, false},
	{"hash missing", func(t *testing.T, disk *hookFS, path string) {
		must(t, disk.mem.Remove(disk.PathJoin(path, "manifest.sha256")))
	}, os.ErrNotExist, true},
	{"manifest torn", func(t *testing.T, disk *hookFS, path string) {
		overwrite(t, disk.mem, disk.PathJoin(path, "manifest.json"), []byte(`{"formatVersion": 1,`))
	}, messages.ErrDataLoss, false},
	{"one byte changed", func(t *testing.T, disk *hookFS, path string) {
		data, err := store.ReadFile(disk.mem, disk.PathJoin(path, "manifest.json"))
		must(t, err)
		data = []byte(strings.Replace(string(data), "nightly", "nightlx", 1))
		overwrite(t, disk.mem, disk.PathJoin(path, "manifest.json"), data)
	}, messages.ErrDataLoss, true},
	{"newer format", func(t *testing.T, disk *hookFS, path string) {
		rewriteManifest(t, disk, path, func(m *messages.Manifest) { m.FormatVersion = store.FormatVersion + 1 })
	}, store.ErrNewer, true},
	{"other table's", func(t *testing.T, disk *hookFS, path string) {
		rewriteManifest(t, disk, path, func(m *messages.Manifest) { m.Table = "other" })
	}, messages.ErrDataLoss, true},
	{"other number's", func(t *testing.T, disk *hookFS, path string) {
		rewriteManifest(t, disk, path, func(m *messages.Manifest) { m.Number = 7 })
	}, messages.ErrDataLoss, true},
	{"no lineage", func(t *testing.T, disk *hookFS, path string) {
		rewriteManifest(t, disk, path, func(m *messages.Manifest) { m.Record.Position = nil })
	}, messages.ErrDataLoss, true},
}

func TestListShowsFaults(t *testing.T) {
	for _, c := range faults {
		t.Run(c.name, func(t *testing.T) {
			disk := newDisk(t)
			d := openDir(t, disk, backupsPath)
			live := newLive(t, disk.mem, "/data", table, lineageA)
			live.put(10, 100)
			first := publish(t, d, live.cut())
			second := publish(t, d, live.cut())
			c.spoil(t, disk, disk.PathJoin(backupsPath, table, second.GetBackupId()))

			backups, err := d.List(table)
			must(t, err)
			if len(backups) != 2 || backups[0].ID != second.GetBackupId() || backups[1].Fault != nil {
				t.Fatalf("listed %+v", backups)
			}
			wantIs(t, backups[0].Fault, c.want)
			if (backups[0].Manifest != nil) != c.manifest {
				t.Errorf("manifest is %v", backups[0].Manifest)
			}
			newest, ok, err := d.Newest(table, lineageA)
			must(t, err)
			if !ok || newest.ID != first.GetBackupId() {
				t.Errorf("newest is %+v, %v", newest, ok)
			}
			row, err := d.CarryForward(table, live.content())
			must(t, err)
			if row != nil {
				t.Errorf("carried forward %v", row)
			}
		})
	}
}

func TestListOfNothing(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	backups, err := d.List(table)
	must(t, err)
	tables, err := d.Tables()
	must(t, err)
	_, ok, err := d.Newest(table, lineageA)
	must(t, err)
	row, err := d.CarryForward(table, store.Content{Record: &messages.TableRecord{Position: &messages.Position{Lineage: lineageA}}})
	must(t, err)
	if len(backups) > 0 || len(tables) > 0 || ok || row != nil {
		t.Errorf("found %v, %v, %v, %v", backups, tables, ok, row)
	}
	_, err = d.List("../../etc")
	wantIs(t, err, messages.ErrInvalid)
	disk.hook(func(op, _ string) error {
		if op == "list" {
			return errInjected
		}
		return nil
	}, nil)
	_, err = d.List(table)
	wantIs(t, err, errInjected)
	_, err = d.Tables()
	wantIs(t, err, errInjected)
	disk.hook(nil, nil)
}

func TestNewestOfEachLineage(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	a := newLive(t, disk.mem, "/data", table, lineageA)
	b := newLive(t, disk.mem, "/data", table, lineageB)
	a.put(5, 10)
	b.put(5, 10)
	var last [2]string
	for range 2 {
		last[0] = publish(t, d, a.cut()).GetBackupId()
		last[1] = publish(t, d, b.cut()).GetBackupId()
	}
	for i, lineage := range []string{lineageA, lineageB} {
		newest, ok, err := d.Newest(table, lineage)
		must(t, err)
		if !ok || newest.ID != last[i] || newest.Lineage() != lineage {
			t.Errorf("newest of %s is %+v", lineage, newest)
		}
	}
	if _, ok, _ := d.Newest(table, "01J9000000000000000000000C"); ok {
		t.Error("an unknown lineage has a backup")
	}
}

func TestCarryForward(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(10, 100)
	first := publish(t, d, live.cut())
	carry := func() *messages.TableResult {
		t.Helper()
		row, err := d.CarryForward(table, live.content())
		must(t, err)
		return row
	}
	row := carry()
	if row.GetOutcome() != messages.Outcome_OUTCOME_CARRIED_FORWARD || row.GetBackupId() != first.GetBackupId() ||
		row.GetManifestSha256() != first.GetManifestSha256() || row.GetBytes() != first.GetBytes() ||
		row.GetCopiedBytes() != 0 || row.GetCount() != 10 || row.GetPosition().GetSeq() != 10 ||
		row.GetStarted() == nil || row.GetFinished() == nil {
		t.Errorf("carried forward %v, of %v", row, first)
	}
	for _, other := range []*messages.Position{
		nil,
		{Lineage: lineageA, Incarnation: 1, Seq: 11},
		{Lineage: lineageA, Incarnation: 2, Seq: 10},
		{Lineage: lineageB, Incarnation: 1, Seq: 10},
	} {
		changed := live.content()
		changed.Record.Position = other
		if row, err := d.CarryForward(table, changed); row != nil || err != nil {
			t.Errorf("carried forward %v to %v, %v", row, other, err)
		}
	}

	for what, change := range map[string]func(r *messages.TableRecord){
		"rows":        func(r *messages.TableRecord) { r.Count++ },
		"bytes":       func(r *messages.TableRecord) { r.LiveBytes++ },
		"fingerprint": func(r *messages.TableRecord) { r.Fingerprint++ },
		"time":        func(r *messages.TableRecord) { r.Committed++ },
		"accounting":  func(r *messages.TableRecord) { r.Accounting = messages.Accounting_ACCOUNTING_AT_CUT },
	} {
		changed := live.content()
		change(changed.Record)
		if row, err := d.CarryForward(table, changed); row != nil || err != nil {
			t.Errorf("at the same position, with another %s: carried forward %v, %v", what, row, err)
		}
	}

	db := disk.PathJoin(backupsPath, table, first.GetBackupId(), "db")
	names, err := disk.mem.List(db)
	must(t, err)
	slices.Sort(names)
	for _, name := range names {
		path := disk.PathJoin(db, name)
		data, err := store.ReadFile(disk.mem, path)
		must(t, err)
		must(t, disk.mem.Remove(path))
		if carry() != nil {
			t.Errorf("carried forward without %s", name)
		}
		overwrite(t, disk.mem, path, append(data, 0))
		if carry() != nil {
			t.Errorf("carried forward with a longer %s", name)
		}
		overwrite(t, disk.mem, path, data)
	}
	overwrite(t, disk.mem, disk.PathJoin(db, "LOCK"), nil)
	if carry() == nil {
		t.Error("not carried forward after the files came back")
	}
	overwrite(t, disk.mem, disk.PathJoin(db, "000099.log"), nil)
	if carry() != nil {
		t.Error("carried forward with a log that is not in the manifest")
	}
	must(t, disk.mem.Remove(disk.PathJoin(db, "000099.log")))

	// Only the newest may be carried, even when an older one is at the position.
	old := live.content()
	live.put(1, 1)
	publish(t, d, live.cut())
	if row, err := d.CarryForward(table, old); row != nil || err != nil {
		t.Errorf("carried forward %v, %v", row, err)
	}
	if carry() == nil {
		t.Error("the newest is not carried forward")
	}
}

// TestFind: a backup is found by its name or its number, and one that there is not names the newest there is.
func TestFind(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	_, err := d.Find(table, "1")
	wantIs(t, err, messages.ErrNotFound)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	var ids []string
	for range 2 {
		live.put(5, 10)
		ids = append(ids, publish(t, d, live.cut()).GetBackupId())
	}
	for _, id := range []string{ids[0], "1", "000001"} {
		if b, err := d.Find(table, id); err != nil || b.ID != ids[0] || b.Table != table || b.Manifest == nil {
			t.Errorf("find %q: %v, %v", id, b.ID, err)
		}
	}
	for _, id := range []string{"", "3", "-1", ids[0] + "x", "../" + ids[0]} {
		_, err := d.Find(table, id)
		wantIs(t, err, messages.ErrNotFound)
		if hints := messages.Hints(err); !slices.Equal(hints, []string{"the newest backup of the table is " + ids[1]}) {
			t.Errorf("find %q: hints %q", id, hints)
		}
	}
	// A copy by hand has the number of its original.
	must(t, disk.mem.MkdirAll(disk.PathJoin(backupsPath, table, "000001_2020-01-01T00-00-00Z"), 0o755))
	_, err = d.Find(table, "1")
	wantIs(t, err, messages.ErrInvalid)
	if b, err := d.Find(table, ids[0]); err != nil || b.ID != ids[0] {
		t.Errorf("find by name: %v, %v", b.ID, err)
	}
	_, err = d.Find("../etc", "1")
	wantIs(t, err, messages.ErrInvalid)
}

// A backup that a verify found red says nothing of the table: the table needs a cut.
func TestRedBackupIsNotCarriedForward(t *testing.T) {
	disk, d, live, ids := pairOnDisk(t)
	newest, content := ids[len(ids)-1], live.cut().Content
	if row, err := d.CarryForward(table, content); err != nil || row.GetBackupId() != newest {
		t.Fatalf("carried %v, %v", row, err)
	}
	damageInPlace(t, disk, newest)
	verify(t, d, newest, "verify")
	if got := verdictOf(t, d, newest); got != red {
		t.Fatalf("the backup is %s", got)
	}
	if row, err := d.CarryForward(table, content); row != nil || err != nil {
		t.Errorf("carried %v forward, %v", row, err)
	}
}
