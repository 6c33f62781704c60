package store

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 takes a new one")

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(holdInChild(dir))
	}
	goleak.VerifyTestMain(m)
}

// random returns a generator whose seed is printed with a failure.
func random(t testing.TB) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("rerun with: go test ./store -run '^%s$' -seed=%d", t.Name(), seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// crash returns what a crash now could leave of mem: percent of what was not fsynced is there.
func crash(mem *vfs.MemFS, percent int, rng *rand.Rand) *vfs.MemFS {
	return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
}

// crashRemoving is crash, but about percent of the removals that were not fsynced reach the disk, too, in whatever order: MemFS
// takes all of them back. Nothing may change mem meanwhile.
func crashRemoving(t testing.TB, mem *vfs.MemFS, percent int, rng *rand.Rand) *vfs.MemFS {
	t.Helper()
	image := crash(mem, percent, rng)
	var walk func(dir string) error
	walk = func(dir string) error {
		names, err := image.List(dir)
		slices.Sort(names) // the same removals for the same seed
		for _, name := range names {
			path := image.PathJoin(dir, name)
			_, missing := mem.Stat(path)
			info, err2 := image.Stat(path)
			switch {
			case err2 != nil:
				err = err2
			case errors.Is(missing, os.ErrNotExist):
				if rng.IntN(100) < percent {
					err = errors.Join(err, image.RemoveAll(path))
				}
			case info.IsDir():
				err = errors.Join(err, walk(path))
			}
		}
		return errors.Join(err, SyncDir(image, dir))
	}
	if percent > 0 {
		if err := walk("/"); err != nil {
			t.Error(err) // on whatever goroutine
		}
	}
	return image
}

// killed returns what the end of the process alone leaves of mem: everything.
func killed(mem *vfs.MemFS) *vfs.MemFS { return crash(mem, 100, rand.New(rand.NewPCG(1, 1))) }

// warnings is a slog.Handler that keeps the messages of level Warn and above.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

func (w *warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler               { return w }
func (w *warnings) WithGroup(string) slog.Handler                    { return w }
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, r.Message)
	return nil
}

// count returns how many warnings contain text.
func (w *warnings) count(text string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.texts {
		if strings.Contains(t, text) {
			n++
		}
	}
	return n
}

const testDir = "/gabion"

// openDirectory opens testDir on fs; configure may change the options. The test closes it.
func openDirectory(t testing.TB, fs vfs.FS, configure ...func(*DirectoryOptions)) *Directory {
	t.Helper()
	o := DirectoryOptions{FS: fs, Path: testDir, MemTableBytes: 64 << 10, CacheBytes: 1 << 20}
	for _, c := range configure {
		c(&o)
	}
	d, err := OpenDirectory(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// openTable opens, and makes, the table "t".
func openTable(t testing.TB, d *Directory, configure ...func(*OpenOptions)) *Store {
	t.Helper()
	o := OpenOptions{Create: true}
	for _, c := range configure {
		c(&o)
	}
	s, err := d.Open("t", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func closeAll(t fataler, closers ...interface{ Close() error }) {
	t.Helper()
	for _, c := range closers {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// commit applies one group and waits for it. It returns the first error.
func commit(s *Store, fill func(*Group) error) error {
	g, err := s.Begin()
	if err != nil {
		return err
	}
	if err := fill(g); err != nil {
		g.Abandon()
		return err
	}
	c, err := s.Apply(g)
	if err != nil {
		g.Abandon()
		return err
	}
	return c.Wait()
}

// put commits a group of one Put.
func put(s *Store, key, value string) error {
	return commit(s, func(g *Group) error { return g.Put([]byte(key), []byte(value)) })
}

func mustPut(t testing.TB, s *Store, key, value string) {
	t.Helper()
	if err := put(s, key, value); err != nil {
		t.Fatal(err)
	}
}

// rows reads the whole table, page by page.
func rows(t testing.TB, s *Store) map[string]string {
	t.Helper()
	n, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	all := map[string]string{}
	scan := &messages.Scan{}
	for {
		page, err := n.Page(scan)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.GetEntries() {
			all[string(e.GetKey())] = string(e.GetValue())
		}
		if len(page.GetNext()) == 0 {
			return all
		}
		scan.Start = page.GetNext()
	}
}

// account recomputes what a record says of rows.
func account(rows map[string]string) (count, liveBytes, fingerprint uint64) {
	var f Fingerprinter
	for k, v := range rows {
		count++
		liveBytes += uint64(len(k) + len(v))
		fingerprint += f.Row([]byte(k), []byte(v))
	}
	return count, liveBytes, fingerprint
}

// checkRecord fails the test unless the record's sums are those of all.
func checkRecord(t fataler, r *messages.TableRecord, all map[string]string) {
	t.Helper()
	count, liveBytes, fingerprint := account(all)
	if r.GetCount() != count || r.GetLiveBytes() != liveBytes || r.GetFingerprint() != fingerprint {
		t.Fatalf("record says count %d, live bytes %d, fingerprint %x; a scan gives %d, %d, %x",
			r.GetCount(), r.GetLiveBytes(), r.GetFingerprint(), count, liveBytes, fingerprint)
	}
}

// tree returns every path below root, with its content, or "directory". The content of LOCK files is not read:
// to close one would give its lock free.
func tree(t testing.TB, fs vfs.FS, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	var walk func(string)
	walk = func(path string) {
		info, err := fs.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if !info.IsDir() {
			all[path] = ""
			if fs.PathBase(path) != lockFile {
				data, err := ReadFile(fs, path)
				if err != nil {
					t.Fatal(err)
				}
				all[path] = string(data)
			}
			return
		}
		all[path] = "directory"
		names, err := fs.List(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			walk(fs.PathJoin(path, name))
		}
	}
	walk(root)
	return all
}

// checkTree fails the test unless both trees are the same, but for the files named LOCK.
func checkTree(t testing.TB, before, after map[string]string) {
	t.Helper()
	isLock := func(path string) bool { return strings.HasSuffix(path, "/"+lockFile) }
	for path, content := range before {
		if now, ok := after[path]; !ok && !isLock(path) {
			t.Errorf("%s is gone", path)
		} else if ok && now != content {
			t.Errorf("%s changed: had %d B, has %d B", path, len(content), len(now))
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok && !isLock(path) {
			t.Errorf("%s is new", path)
		}
	}
}

func checkHint(t testing.TB, err error) {
	t.Helper()
	if len(messages.Hints(err)) == 0 {
		t.Errorf("no hint on: %v", err)
	}
}

func TestStoreKeepsItsRowsOverAReopen(t *testing.T) {
	mem := vfs.NewMem()
	want := map[string]string{}
	for open := uint64(1); open <= 3; open++ {
		d := openDirectory(t, mem)
		s := openTable(t, d)
		if got := rows(t, s); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("open %d: rows %v, want %v", open, got, want)
		}
		for i := range 20 {
			key, value := fmt.Sprintf("k%d-%d", open, i), strings.Repeat("v", i)
			mustPut(t, s, key, value)
			want[key] = value
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		value, found, err := s.Get([]byte("k1-19"))
		if err != nil || !found || string(value) != want["k1-19"] {
			t.Fatalf("Get = %q, %v, %v", value, found, err)
		}
		if value, found, err = s.Get([]byte("absent")); err != nil || found || value != nil {
			t.Fatalf("Get of an absent key = %q, %v, %v", value, found, err)
		}
		checkRecord(t, s.Record(), want)
		if got := s.Record().GetPosition().GetIncarnation(); got != open {
			t.Errorf("incarnation %d, want %d", got, open)
		}
		if s.Acked() != 20*open || s.Frozen() || s.FrozenBy() != nil {
			t.Errorf("acked %d, frozen %v by %v", s.Acked(), s.Frozen(), s.FrozenBy())
		}
		if lineages, err := d.Lineages("t"); err != nil || len(lineages) != 1 || lineages[0] != s.Lineage() {
			t.Errorf("lineages %v, %v, want %s alone", lineages, err, s.Lineage())
		}
		closeAll(t, s, d)
	}
}

func TestGetReturnsACopy(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d)
	mustPut(t, s, "k", "value")
	first, _, err := s.Get([]byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	copy(first, "XXXXX")
	if second, _, _ := s.Get([]byte("k")); !bytes.Equal(second, []byte("value")) {
		t.Errorf("Get = %q after a change of the slice it returned", second)
	}
	closeAll(t, s, d)
}

func TestRecordDoesNotChangeUnderItsReader(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	record := s.Record()
	before := proto.CloneOf(record)
	mustPut(t, s, "b", "2")
	if !proto.Equal(record, before) {
		t.Errorf("record changed from %v to %v", before, record)
	}
	closeAll(t, s, d)
}

func TestTableNameIsChecked(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	for _, name := range []string{"", "../t", "T", "con", "staging"} {
		if _, err := d.Open(name, OpenOptions{Create: true}); !errors.Is(err, messages.ErrInvalid) {
			t.Errorf("Open(%q) = %v, want ErrInvalid", name, err)
		}
	}
	closeAll(t, d)
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
