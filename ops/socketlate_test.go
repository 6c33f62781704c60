package ops

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// TestServesWithoutSocket: a socket that cannot be made keeps no table from being served; the log and health say so.
func TestServesWithoutSocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := newHost(t, dir).Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "gabion.sock.aside"), "somebody's")
	var log strings.Builder
	config := &Config{Gabion: actors.Config{Dir: dir, Tables: []string{"fruit"}, DisableSchedule: true, DisableDrill: true}}
	s, err := Start(t.Context(), config, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Gabion().Table("fruit").Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Error(err)
	}
	report, err := s.Gabion().Health(t.Context())
	if all := strings.Join(report.GetConcerns(), "; "); err != nil || report.GetGrade() != messages.Grade_GRADE_YELLOW ||
		!strings.Contains(all, "commands cannot reach this server, as it has no socket") {
		t.Errorf("health is %v: %s, %v", report.GetGrade(), all, err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "socket cannot be made") {
		t.Errorf("log: %s", &log)
	}
}

// cancelling is a log that ends a context on one message.
type cancelling struct {
	slog.Handler
	on     string
	cancel context.CancelFunc
}

func (c cancelling) Handle(_ context.Context, r slog.Record) error {
	if r.Message == c.on {
		c.cancel()
	}
	return nil
}

// TestSocketOfAStartThatEnded: a start that is given up while its socket opens leaves none behind.
func TestSocketOfAStartThatEnded(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d"))
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		log := slog.New(cancelling{slog.NewTextHandler(io.Discard, nil), "listening", cancel})
		l, err := openSocket(ctx, h.Gabion, log, time.Second)
		if err == nil {
			err = l.close(t.Context())
		} else if errors.Is(err, context.Canceled) {
			err = nil
		}
		if err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(filepath.Join(h.dir, "gabion.sock")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("the socket is left: %v", err)
		}
	}
}

// TestSocketComesLater: the socket is there soon after it can be made, and health has no concern any more.
func TestSocketComesLater(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d"))
	aside := writeFile(t, filepath.Join(h.dir, "gabion.sock.aside"), "somebody's")
	l, err := openSocket(t.Context(), h.Gabion, slog.New(slog.DiscardHandler), 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if l.concern() == "" {
		t.Error("no concern")
	}
	if err := os.Remove(aside); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return l.concern() == "" })
	if _, err := dial(t, h.dir).ListTables(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(h.dir, "gabion.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestSocketWithoutRoom: on a disk without room for a directory, the socket is made all the same where the system can close
// it to others from the start.
func TestSocketWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	full := func(path string, _ os.FileMode) error {
		return &os.PathError{Op: "mkdir", Path: path, Err: syscall.ENOSPC}
	}
	for range 2 { // the second one replaces what the first has left
		listener, info, err := bindBy(dir, full)
		if runtime.GOOS != "linux" {
			if !store.NoRoom(err) || len(messages.Hints(err)) == 0 {
				t.Errorf("bind: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("mode is %v", info.Mode())
		}
		conn, err := connectTo(t.Context(), filepath.Join(dir, "gabion.sock"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(conn.Close(), listener.Close()); err != nil {
			t.Error(err)
		}
	}
}

// hangingTable is a file system on which whoever opens the file current of a table waits until it is healed.
type hangingTable struct {
	vfs.FS
	table  string
	healed chan struct{}
}

func (f *hangingTable) Unwrap() vfs.FS { return f.FS }

func (f *hangingTable) Open(path string, o ...vfs.OpenOption) (vfs.File, error) {
	if filepath.Base(path) == "current" && filepath.Base(filepath.Dir(path)) == f.table {
		<-f.healed
	}
	return f.FS.Open(path, o...)
}

// TestAnswersWhileATableOpens: while one table hangs at the start, HTTP and the socket answer with its state, and serve the
// others; the host is not ready before all are open.
func TestAnswersWhileATableOpens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := newHost(t, dir).Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	fs := &hangingTable{FS: store.RealFS(), table: "other", healed: make(chan struct{})}
	config := &Config{Gabion: actors.Config{Dir: dir, Tables: []string{"fruit", "other"}, DisableSchedule: true, DisableDrill: true, FS: fs},
		Web: WebConfig{Address: freeAddress(t)}}
	started := make(chan error, 1)
	var server *Server
	go func() {
		var err error
		server, err = Start(t.Context(), config, nil)
		started <- err
	}()
	var client *Client
	waitFor(t, func() bool {
		var err error
		client, err = Dial(t.Context(), dir)
		return err == nil
	})
	defer client.Close()
	states := func() (text string) {
		tables, err := client.ListTables(t.Context())
		if err != nil {
			t.Error(err)
		}
		for _, table := range tables {
			text += table.GetTable() + " " + table.GetState().String() + " "
		}
		return text
	}
	waitFor(t, func() bool { return strings.Contains(states(), "fruit TABLE_STATE_OPEN ") })
	if text := states(); !strings.Contains(text, "other TABLE_STATE_OPENING") {
		t.Errorf("states: %s", text)
	}
	if _, err := client.Table("fruit").Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Error(err)
	}
	if _, err := client.Table("other").Put(t.Context(), []byte("k"), []byte("v")); !errors.Is(err, messages.ErrUnavailable) {
		t.Errorf("put to the table that is being opened: %v", err)
	}
	ready := func() (int, string) {
		response, err := http.Get("http://" + config.Web.Address + "/readyz")
		if err != nil {
			return 0, err.Error()
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Error(err)
		}
		return response.StatusCode, string(body)
	}
	if status, body := ready(); status != http.StatusServiceUnavailable || !strings.Contains(body, "other is opening") {
		t.Errorf("ready = %d %s", status, body)
	}
	select {
	case err := <-started:
		t.Fatalf("started while a table hangs: %v", err)
	default:
	}
	close(fs.healed)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	// A command that needs the table does not come too early any more.
	session, err := Open(t.Context(), OpenOptions{Dir: dir, Tables: []string{"other"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.Table("other").Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Error(err)
	}
	if err := errors.Join(session.Close(t.Context()), server.Stop(context.Background())); err != nil {
		t.Error(err)
	}
}
