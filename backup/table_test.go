package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

const (
	testStore   = "01J9000000000000000000STRE"
	lineageA    = "01J9000000000000000000000A"
	lineageB    = "01J9000000000000000000000B"
	backupsPath = "/data/backups"
)

var noon = time.Date(2026, 2, 11, 12, 0, 0, 0, time.UTC)

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func pebbleOptions(fs vfs.FS) *pebble.Options {
	return &pebble.Options{
		FS: fs, Logger: quiet{}, FormatMajorVersion: pebble.FormatValueSeparation,
		DisableAutomaticCompactions: true,
	}
}

// liveTable is a Pebble database that is cut, as store does it.
type liveTable struct {
	t       testing.TB
	fs      vfs.FS // the bare one, so that hooks see the backup's operations only
	root    string
	name    string
	lineage string
	db      *pebble.DB
	seq     uint64
	rows    map[string]string
	at      map[uint64]map[string]string // rows by seq of each cut
}

func newLive(t testing.TB, fs vfs.FS, root, name, lineage string) *liveTable {
	t.Helper()
	l := &liveTable{
		t: t, fs: fs, root: root, name: name, lineage: lineage,
		rows: map[string]string{}, at: map[uint64]map[string]string{},
	}
	must(t, fs.MkdirAll(fs.PathJoin(root, "staging"), 0o755))
	db, err := pebble.Open(l.dir(), pebbleOptions(fs))
	must(t, err)
	l.db = db
	t.Cleanup(l.close)
	return l
}

func (l *liveTable) dir() string { return l.fs.PathJoin(l.root, "tables", l.name, l.lineage) }

func (l *liveTable) close() {
	if l.db != nil {
		must(l.t, l.db.Close())
		l.db = nil
	}
}

// put writes n new rows of the given value size, and an sstable that holds them.
func (l *liveTable) put(n, size int) {
	l.t.Helper()
	for range n {
		l.seq++
		key, value := fmt.Sprintf("%s%08d", l.name, l.seq), noise(l.seq, size)
		must(l.t, l.db.Set([]byte(key), []byte(value), pebble.NoSync))
		l.rows[key] = value
	}
	must(l.t, l.db.Flush())
}

// noise returns bytes that no compression makes smaller, the same for the same seed.
func noise(seed uint64, size int) string {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	data := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(data)
	return string(data)
}

// log writes one row that stays in the WAL.
func (l *liveTable) log() {
	l.seq++
	key := fmt.Sprintf("%s%08d", l.name, l.seq)
	must(l.t, l.db.Set([]byte(key), []byte("logged"), pebble.Sync))
	l.rows[key] = "logged"
}

func (l *liveTable) position() *messages.Position {
	return &messages.Position{Lineage: l.lineage, Incarnation: 1, Seq: l.seq}
}

// cut captures the table.
func (l *liveTable) cut() backup.Cut {
	l.t.Helper()
	runID := ulid.Make().String()
	staging := l.fs.PathJoin(l.root, "staging", l.name+"-"+runID)
	must(l.t, l.db.Checkpoint(staging))
	l.at[l.seq] = maps.Clone(l.rows)
	return backup.Cut{
		Table: l.name, RunID: runID, Label: "nightly", Staging: staging, Started: noon,
		Content: l.content(),
	}
}

// content is what the table holds now.
func (l *liveTable) content() store.Content {
	return store.Content{Record: &messages.TableRecord{
		FormatVersion: store.FormatVersion, Table: l.name, Position: l.position(), Count: uint64(len(l.rows)),
	}}
}

func openDir(t testing.TB, fs vfs.FS, path string) *backup.Directory {
	t.Helper()
	d, err := backup.Open(backup.Options{FS: fs, Path: path, StoreID: testStore})
	must(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func publish(t testing.TB, d *backup.Directory, cut backup.Cut) *messages.TableResult {
	t.Helper()
	result, err := d.Publish(context.Background(), cut, nil)
	must(t, err)
	return result
}

// readManifest reads a backup's manifest without the package's help, and its hash.
func readManifest(fs vfs.FS, path string) (*messages.Manifest, string, error) {
	data, err := store.ReadFile(fs, fs.PathJoin(path, "manifest.json"))
	if err != nil {
		return nil, "", err
	}
	want, err := store.ReadFile(fs, fs.PathJoin(path, "manifest.sha256"))
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(data)
	if hash := hex.EncodeToString(sum[:]); hash+"  manifest.json\n" != string(want) {
		return nil, "", fmt.Errorf("manifest has hash %s, manifest.sha256 says %q", hash, want)
	}
	var m messages.Manifest
	if err := protojson.Unmarshal(data, &m); err != nil {
		return nil, "", err
	}
	return &m, string(want), nil
}

// checkBackup returns what is wrong with a backup: its manifest, a file, or the rows Pebble finds in it.
func checkBackup(fs vfs.FS, path string, at map[uint64]map[string]string) error {
	m, _, err := readManifest(fs, path)
	if err != nil {
		return fmt.Errorf("manifest of %s: %w", path, err)
	}
	dbPath := fs.PathJoin(path, "db")
	names, err := fs.List(dbPath)
	if err != nil {
		return err
	}
	slices.Sort(names)
	var listed []string
	for _, f := range m.GetFiles() {
		listed = append(listed, f.GetName())
		data, err := store.ReadFile(fs, fs.PathJoin(dbPath, f.GetName()))
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		if int64(len(data)) != f.GetSize() || hex.EncodeToString(sum[:]) != f.GetSha256() {
			return fmt.Errorf("%s in %s is not what its manifest says", f.GetName(), path)
		}
	}
	if !slices.Equal(names, listed) {
		return fmt.Errorf("%s has files %v, its manifest %v", path, names, listed)
	}
	want, ok := at[m.GetRecord().GetPosition().GetSeq()]
	if !ok || m.GetRecord().GetCount() != uint64(len(want)) {
		return fmt.Errorf("%s is of an unknown cut: %v", path, m.GetRecord())
	}
	return checkRows(fs, dbPath, want)
}

func checkRows(fs vfs.FS, dbPath string, want map[string]string) error {
	o := pebbleOptions(fs)
	o.ErrorIfNotExists, o.ReadOnly = true, true
	db, err := pebble.Open(dbPath, o)
	if err != nil {
		return err
	}
	got := map[string]string{}
	iter, err := db.NewIter(nil)
	if err == nil {
		for iter.First(); iter.Valid(); iter.Next() {
			got[string(iter.Key())] = string(bytes.Clone(iter.Value()))
		}
		err = iter.Close()
	}
	if closeErr := db.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = fs.Remove(fs.PathJoin(dbPath, "LOCK"))
	}
	if err == nil && !maps.Equal(got, want) {
		err = fmt.Errorf("%s holds %d rows, want %d", dbPath, len(got), len(want))
	}
	return err
}

// complete returns the sorted names of a table's directory that do not start with .pending- and have no .pending-remove-
// beside them, and the others.
func complete(t testing.TB, fs vfs.FS, dir string) (ids, pending []string) {
	t.Helper()
	exists, err := store.Exists(fs, dir)
	must(t, err)
	if !exists {
		return nil, nil
	}
	names, err := fs.List(dir)
	must(t, err)
	slices.Sort(names)
	for _, name := range names {
		if strings.HasPrefix(name, ".pending-") || slices.Contains(names, ".pending-remove-"+name) {
			pending = append(pending, name)
		} else {
			ids = append(ids, name)
		}
	}
	return ids, pending
}

func exists(t testing.TB, fs vfs.FS, path string) bool {
	t.Helper()
	ok, err := store.Exists(fs, path)
	must(t, err)
	return ok
}

// overwrite replaces a file's content, under a new inode.
func overwrite(t testing.TB, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(append([]byte(nil), data...)) // the file system may scribble over it
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}
