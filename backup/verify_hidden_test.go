package backup_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// TestDamageBeforePublish: what a cut held was damaged when its hash was taken. Each such backup is red, or every row of it is
// right after all; none is a riddle.
func TestDamageBeforePublish(t *testing.T) {
	rng := newRand(t)
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := serveTable(t, disk.mem, "/data", messages.Accounting_ACCOUNTING_EXACT)
	live.put(0, 100, 300)
	live.put(50, 150, 300)
	live.compact()
	live.put(200, 220, 300)
	live.flush()
	live.put(1000, 1010, 20)
	reference := live.cut()
	names, err := disk.mem.List(reference.Staging)
	must(t, err)
	red := map[string]int{}
	for _, name := range names {
		data, err := store.ReadFile(disk.mem, disk.PathJoin(reference.Staging, name))
		must(t, err)
		if len(data) == 0 {
			continue
		}
		kind := strings.Trim(name, "0123456789-")
		positions := []int{0, len(data) / 2, len(data) - 1}
		for range 12 {
			positions = append(positions, rng.IntN(len(data)))
		}
		for _, at := range positions {
			cut := live.cut()
			// Another file under that name: the staged one is the live table's.
			must(t, disk.mem.Remove(disk.PathJoin(cut.Staging, name)))
			overwrite(t, disk.mem, disk.PathJoin(cut.Staging, name), flipped(data, at))
			id := publish(t, d, cut).GetBackupId()
			v, err := d.Verify(t.Context(), table, id, backup.VerifyOptions{})
			if err != nil {
				t.Fatalf("byte %d of %s is flipped: no verdict: %v", at, name, err)
			}
			switch v.Proof.GetVerdict() {
			case messages.Verdict_VERDICT_RED:
				red[kind]++
				if kind == ".sst" && v.Proof.GetFile() != "db/"+name {
					t.Errorf("byte %d of %s is flipped, proof %v", at, name, v.Proof)
				}
			case messages.Verdict_VERDICT_PROVEN:
				if kind == ".sst" {
					t.Errorf("byte %d of %s is flipped: proven", at, name)
				}
				r, err := d.OpenBackup(table, id, false)
				must(t, err)
				sameRows(t, rowsOf(t, r.Store), live.rows)
				must(t, r.Close())
			}
			must(t, disk.mem.RemoveAll(disk.PathJoin(backupsPath, table, id))) // nothing is linked from it
		}
	}
	if red[".sst"] < 15 || red["MANIFEST"] < 5 || red[".log"] < 5 {
		t.Errorf("red were %v", red)
	}
}

// editManifest changes a backup's manifest and makes the hash fit, as no accident does.
func editManifest(t *testing.T, disk *hookFS, path string, edit func(m map[string]any)) {
	t.Helper()
	data, err := store.ReadFile(disk.mem, disk.PathJoin(path, "manifest.json"))
	must(t, err)
	var m map[string]any
	must(t, json.Unmarshal(data, &m))
	edit(m)
	data, err = json.Marshal(m)
	must(t, err)
	sum := sha256.Sum256(data)
	overwrite(t, disk.mem, disk.PathJoin(path, "manifest.json"), data)
	overwrite(t, disk.mem, disk.PathJoin(path, "manifest.sha256"), []byte(hex.EncodeToString(sum[:])+"  manifest.json\n"))
}

// TestManifestThatFitsItsHash but not its backup. The neighbour, whose files are the same, is none the worse for it.
func TestManifestThatFitsItsHash(t *testing.T) {
	at := func(m map[string]any, names ...string) map[string]any {
		for _, name := range names {
			m = m[name].(map[string]any)
		}
		return m
	}
	file := func(m map[string]any) map[string]any {
		files := m["files"].([]any)
		i := slices.IndexFunc(files, func(f any) bool { return strings.HasSuffix(f.(map[string]any)["name"].(string), ".sst") })
		return files[i].(map[string]any)
	}
	for what, c := range map[string]struct {
		edit func(m map[string]any)
		says string // the proof's reason; "" is an error instead, or no damage at all
		err  error
	}{
		"count":          {func(m map[string]any) { at(m, "record")["count"] = "7" }, "rows", nil},
		"live bytes":     {func(m map[string]any) { at(m, "record")["liveBytes"] = "7" }, "rows", nil},
		"fingerprint":    {func(m map[string]any) { at(m, "record")["fingerprint"] = "7" }, "fingerprint", nil},
		"seq":            {func(m map[string]any) { at(m, "record", "position")["seq"] = "7" }, "seq 7", nil},
		"incarnation":    {func(m map[string]any) { at(m, "record", "position")["incarnation"] = "7" }, "incarnation 7", nil},
		"lineage":        {func(m map[string]any) { at(m, "record", "position")["lineage"] = lineageB }, lineageB, nil},
		"no record":      {func(m map[string]any) { delete(m, "record") }, "no lineage", nil},
		"record's table": {func(m map[string]any) { at(m, "record")["table"] = "other" }, "other", nil},
		"table":          {func(m map[string]any) { m["table"] = "other" }, "other", nil},
		"number":         {func(m map[string]any) { m["number"] = "7" }, "number 7", nil},
		"hash of a file": {func(m map[string]any) { file(m)["sha256"] = strings.Repeat("0", 64) }, "hash", nil},
		"size of a file": {func(m map[string]any) { file(m)["size"] = "7" }, "7 B", nil},
		"name of a file": {func(m map[string]any) { file(m)["name"] = "../manifest.json" }, "missing", nil},
		"file less":      {func(m map[string]any) { m["files"] = m["files"].([]any)[1:] }, "not in the manifest", nil},
		"no file":        {func(m map[string]any) { delete(m, "files") }, "not in the manifest", nil},
		"format version": {func(m map[string]any) { m["formatVersion"] = 99 }, "", store.ErrNewer},
		"unknown field":  {func(m map[string]any) { m["inventedLater"] = "x" }, "", nil},
	} {
		t.Run(what, func(t *testing.T) {
			disk := newDisk(t)
			d := openDir(t, disk, backupsPath)
			live := serveTable(t, disk.mem, "/data", messages.Accounting_ACCOUNTING_EXACT)
			live.put(0, 50, 100)
			live.flush()
			neighbour := publish(t, d, live.cut()).GetBackupId()
			id := publish(t, d, live.cut()).GetBackupId()
			editManifest(t, disk, disk.PathJoin(backupsPath, table, id), c.edit)
			v, err := d.Verify(t.Context(), table, id, backup.VerifyOptions{})
			red := v.Proof.GetVerdict() == messages.Verdict_VERDICT_RED
			if !errors.Is(err, c.err) || red != (c.says != "") || !strings.Contains(v.Proof.GetReason(), c.says) || len(v.Neighbours) > 0 {
				t.Errorf("%v with neighbours %v, %v", v.Proof, v.Neighbours, err)
			}
			_, _, err = d.Choose(table, backup.Choice{ID: id})
			b, _ := d.Find(table, id)
			to := disk.PathJoin("/data", "to")
			must(t, disk.MkdirAll(to, 0o755))
			_, err2 := d.Restore(t.Context(), b, to, backup.VerifyOptions{})
			if fine := what == "unknown field"; (err == nil) != fine || (err2 == nil) != fine {
				t.Errorf("chosen: %v; restored: %v", err, err2)
			}
			if c.err != nil && len(proofsOf(t, disk, backupsPath, id)) > 0 {
				t.Error("there is a proof without a verdict")
			}
			if b, err := d.Find(table, neighbour); err != nil || b.Red {
				t.Errorf("the neighbour is red: %v, %v", b.Proof, err)
			}
			if v, err := d.Verify(t.Context(), table, neighbour, backup.VerifyOptions{}); err != nil || v.Proof.GetVerdict() != messages.Verdict_VERDICT_PROVEN {
				t.Errorf("neighbour: %v, %v", v.Proof, err)
			}
		})
	}
}

// TestWrongKind: a directory where a file was, and a file where the directory was, make a backup red: neither is the disk's
// fault, and a restore goes on with an older one.
func TestWrongKind(t *testing.T) {
	g := newGallery(t)
	db := filepath.Join(g.path, table, g.ids[3], "db")
	files, err := filepath.Glob(filepath.Join(db, "OPTIONS-*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	must(t, os.Remove(files[0]))
	must(t, os.Mkdir(files[0], 0o755))
	if p := verify(t, g.d, g.ids[3], ""); p.GetVerdict() != messages.Verdict_VERDICT_RED || p.GetFile() != "db/"+filepath.Base(files[0]) {
		t.Errorf("a directory in place of a file: %v", p)
	}
	must(t, os.RemoveAll(db))
	must(t, os.WriteFile(db, nil, 0o644))
	if p := verify(t, g.d, g.ids[3], ""); p.GetVerdict() != messages.Verdict_VERDICT_RED || p.GetFile() != "db" {
		t.Errorf("a file in place of the directory: %v", p)
	}
}
