package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// gate is the real file system, where the sstables of backups are not opened while it is shut, and no directory is made under
// what is refused.
type gate struct {
	vfs.FS
	shut    atomic.Pointer[chan struct{}] // closed to open it
	waiting chan struct{}                 // gets one for each open that waits
	refused atomic.Pointer[string]
}

func newGate() *gate { return &gate{FS: store.RealFS(), waiting: make(chan struct{}, 100)} }

// close shuts it, and returns what opens it.
func (g *gate) close() (open func()) {
	opened := make(chan struct{})
	g.shut.Store(&opened)
	return func() {
		if g.shut.CompareAndSwap(&opened, nil) {
			close(opened)
		}
	}
}

func (g *gate) Open(name string, options ...vfs.OpenOption) (vfs.File, error) {
	if opened := g.shut.Load(); opened != nil && strings.Contains(name, "/backups/") && strings.HasSuffix(name, ".sst") {
		g.waiting <- struct{}{}
		<-*opened
	}
	return g.FS.Open(name, options...)
}

func (g *gate) MkdirAll(name string, mode os.FileMode) error {
	if refused := g.refused.Load(); refused != nil && strings.Contains(name, *refused) {
		return errors.New("refused by the test")
	}
	return g.FS.MkdirAll(name, mode)
}

// logged hands on the texts of log records.
type logged chan string

func (l logged) Enabled(context.Context, slog.Level) bool { return true }
func (l logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l logged) WithGroup(string) slog.Handler            { return l }
func (l logged) Handle(_ context.Context, r slog.Record) error {
	select {
	case l <- r.Level.String() + " " + r.Message:
	default:
	}
	return nil
}

// gated serves fruit and other, each with a backup, behind a gate.
func gated(t *testing.T) (*host, *Client, *gate, logged) {
	t.Helper()
	g, logs := newGate(), make(logged, 1000)
	h := startHost(t, actors.Config{Dir: filepath.Join(t.TempDir(), "d"), Tables: []string{"fruit", "other"}, DisableSchedule: true,
		DisableDrill: true, FS: g, Logger: slog.New(logs)}).listen(t, bounds{})
	for i, table := range []string{"fruit", "other"} {
		if _, err := h.Table(table).Put(t.Context(), []byte("k"), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Backup(t.Context(), &messages.BackupAll{}); err != nil {
		t.Fatal(err)
	}
	return h, dial(t, h.dir), g, logs
}

// A client that goes away ends its verify: what it had not come to is not verified, and that is no error of the server's.
func TestVerifyEndsWithItsClient(t *testing.T) {
	h, c, g, logs := gated(t)
	open := g.close()
	defer open()
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- c.VerifyEach(ctx, &messages.VerifyBackup{}, func(*messages.VerifyUpdate) error { return nil })
	}()
	<-g.waiting
	leave()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("verify ends with %v", err)
	}
	// The disk still hangs: nothing but the client's end can end it.
	for text := range logs {
		if strings.HasSuffix(text, "backup not verified") {
			if !strings.HasPrefix(text, "INFO") {
				t.Errorf("log says %q", text)
			}
			break
		}
	}
	open()
	// The next one has its turn, which the one that ended does not keep.
	seen := 0
	err := c.VerifyEach(t.Context(), &messages.VerifyBackup{Tables: []string{"fruit"}}, func(u *messages.VerifyUpdate) error {
		if u.GetResult().GetProof().GetVerdict() == messages.Verdict_VERDICT_PROVEN {
			seen++
		}
		return nil
	})
	list, listErr := h.ListBackups(t.Context(), "other")
	if err != nil || listErr != nil || seen != 1 || list.GetBackups()[0].GetProof() != nil {
		t.Errorf("seen %d, %v; other is %v, %v", seen, err, list.GetBackups(), listErr)
	}
}

// Each result is there as it comes, and an error of the receiver's ends the verify.
func TestVerifyStreams(t *testing.T) {
	h, c, _, _ := gated(t)
	enough := errors.New("enough")
	for name, access := range map[string]Access{"client": c, "in place": h.Gabion} {
		var tables []string
		if err := access.VerifyEach(t.Context(), &messages.VerifyBackup{}, func(u *messages.VerifyUpdate) error {
			if r := u.GetResult(); r != nil {
				tables = append(tables, r.GetTable())
			}
			return nil
		}); err != nil || !slices.Equal(tables, []string{"fruit", "other"}) {
			t.Errorf("%s: results of %v, %v", name, tables, err)
		}
		seen := 0
		err := access.VerifyEach(t.Context(), &messages.VerifyBackup{}, func(*messages.VerifyUpdate) error { seen++; return enough })
		if !errors.Is(err, enough) || seen != 1 {
			t.Errorf("%s: given up after %d: %v", name, seen, err)
		}
		err = access.VerifyEach(t.Context(), &messages.VerifyBackup{RunId: "x", All: true}, nil)
		if !errors.Is(err, messages.ErrInvalid) {
			t.Errorf("%s: bad request: %v", name, err)
		}
	}
}

// A restore goes on when its client goes away, and when the service ends.
func TestRestoreOutlivesItsClient(t *testing.T) {
	h, c, g, _ := gated(t)
	restored := make(chan *messages.TableRestored, 1)
	h.Subscribe(func(m proto.Message) {
		if r, ok := m.(*messages.TableRestored); ok {
			restored <- r
		}
	})
	if _, err := h.Table("fruit").Put(t.Context(), []byte("k"), []byte("later")); err != nil {
		t.Fatal(err)
	}
	open := g.close()
	defer open()
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := c.RestoreFollowed(ctx, &messages.RestoreTable{Table: "fruit"}, func(*messages.Progress) {})
		ended <- err
	}()
	<-g.waiting
	leave()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("restore ends with %v", err)
	}
	// Waits for the service's side of the request.
	h.close(t)
	open()
	if r := <-restored; r.GetTable() != "fruit" || r.GetLostTo() != 2 {
		t.Errorf("restored %v", r)
	}
	if value, err := h.Table("fruit").Get(t.Context(), []byte("k")); err != nil || string(value) != "\x00" {
		t.Errorf("value is %q, %v", value, err)
	}
}

// A backup is read through a server as in place, and as it was.
func TestReadBackupMirrors(t *testing.T) {
	h, c, _, _ := gated(t)
	rows := fillPages(t, h) + 1
	if _, err := h.Backup(t.Context(), &messages.BackupAll{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Table("fruit").DeleteRange(t.Context(), []byte{0}, []byte{255}); err != nil {
		t.Fatal(err)
	}
	before := "\x01"
	log := func(s *Session) string {
		var b strings.Builder
		say := func(what string, result any, err error) {
			fmt.Fprintf(&b, "%s: %v, %v, %q, invalid %v, not found %v\n", what, result, err, messages.Hints(err),
				errors.Is(err, messages.ErrInvalid), errors.Is(err, messages.ErrNotFound))
		}
		for _, bad := range [][2]string{{"fruit", "9"}, {"fruit", "../../etc"}, {"fruit", "other/1"}, {"nosuch", "1"}, {"Fruit", "1"}, {"", ""}} {
			_, _, err := s.OpenBackup(t.Context(), bad[0], bad[1], false)
			say("open "+strings.Join(bad[:], "/"), nil, err)
		}
		for _, id := range []string{"", "1", "2"} {
			r, closeBackup, err := s.OpenBackup(t.Context(), "fruit", id, false)
			if err != nil {
				t.Fatal(err)
			}
			value, err := r.Get(t.Context(), []byte("k"))
			say("get", value, err)
			_, err = r.Get(t.Context(), []byte("absent"))
			say("get absent", nil, err)
			_, err = r.Get(t.Context(), nil)
			say("get no key", nil, err)
			page, err := r.Scan(t.Context(), &messages.Scan{Limit: 2, Reverse: true})
			say("scan", fmt.Sprint(len(page.GetEntries()), page.GetNext()), err)
			page, err = r.Scan(t.Context(), nil)
			say("scan of all", fmt.Sprint(len(page.GetEntries()), page.GetNext()), err)
			page, err = r.Scan(t.Context(), &messages.Scan{Start: make([]byte, 8<<10)})
			say("bad scan", len(page.GetEntries()), err)
			n := 0
			err = r.Walk(t.Context(), nil, func(_, _ []byte) error { n++; return nil })
			say("walk", n, err)
			if want := map[string]int{"": rows, "1": 1, "2": rows}[id]; n != want {
				t.Errorf("backup %q has %d rows, want %d", id, n, want)
			}
			err = r.Walk(t.Context(), &messages.Scan{Start: make([]byte, 8<<10)}, func(_, _ []byte) error { return nil })
			say("bad walk", nil, err)
			if err := closeBackup(); err != nil {
				t.Error(err)
			}
		}
		// It stays with the backup that was the newest.
		newest, closeBackup, err := s.OpenBackup(t.Context(), "other", "", false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Table("other").Put(t.Context(), []byte("k"), []byte(before+"!")); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Backup(t.Context(), &messages.BackupAll{Tables: []string{"other"}}); err != nil {
			t.Fatal(err)
		}
		if value, err := newest.Get(t.Context(), []byte("k")); err != nil || string(value) != before {
			t.Errorf("newest is %q, %v, want %q", value, err, before)
		}
		before += "!"
		if err := closeBackup(); err != nil {
			t.Error(err)
		}
		return b.String()
	}
	want, got := log(&Session{Access: h.Gabion, local: h.Gabion}), log(&Session{Access: c, client: c})
	if want != got {
		t.Errorf("in place:\n%s\nthrough the server:\n%s", want, got)
	}
	// The server keeps none open: retention would have to keep it for good.
	list, err := h.ListBackups(t.Context(), "fruit")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list.GetBackups() {
		if slices.Contains(b.GetReasons(), "being read") {
			t.Errorf("backup %s is being read still: %q", b.GetBackupId(), b.GetReasons())
		}
	}
}

// A request for a row of a backup whose disk hangs ends with its deadline.
func TestReadBackupDeadline(t *testing.T) {
	_, c, g, _ := gated(t)
	open := g.close()
	defer open()
	get := &messages.Get{Key: []byte("k"), Deadline: timestamppb.New(time.Now().Add(50 * time.Millisecond))}
	_, err := c.service.Get(t.Context(), &messages.GetRequest{Table: "fruit", Get: get, Backup: &messages.FromBackup{BackupId: "1"}})
	if err = fromConnect(t.Context(), err, false); !errors.Is(err, messages.ErrDeadline) {
		t.Errorf("get ends with %v", err)
	}
}
