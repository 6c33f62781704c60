package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

const logDir = "/dir"

// openLog returns the event log of a directory as OpenDirectory would make it.
func openLog(fs vfs.FS) *EventLog {
	d := &Directory{fs: fs, path: logDir, logger: slog.New(slog.DiscardHandler)}
	return d.EventLog()
}

// newLog returns the event log of a directory that is durable.
func newLog(t *testing.T, fs vfs.FS) *EventLog {
	t.Helper()
	if err := MkdirDurably(fs, logDir); err != nil {
		t.Fatal(err)
	}
	return openLog(fs)
}

// logged is an event that is told from every other by its number; reason makes it longer.
func logged(seq uint64, reason string) *messages.LoggedEvent {
	e := &messages.LoggedEvent{Seq: seq, Time: timestamppb.New(time.Unix(int64(seq), 0))}
	e.SetMessage(&messages.TableStateChanged{Table: fmt.Sprintf("t%d", seq), Reason: reason})
	return e
}

func appendEvents(t *testing.T, l *EventLog, events ...*messages.LoggedEvent) {
	t.Helper()
	for _, e := range events {
		if err := l.Append(e); err != nil {
			t.Fatalf("append %d: %v", e.GetSeq(), err)
		}
	}
}

// readAll reads page by page.
func readAll(t *testing.T, l *EventLog) []*messages.LoggedEvent {
	t.Helper()
	var all []*messages.LoggedEvent
	for after, more := uint64(0), true; more; {
		var page []*messages.LoggedEvent
		var err error
		if page, more, err = l.Read(after, time.Time{}, 0); err != nil {
			t.Fatalf("read after %d: %v", after, err)
		}
		if all = append(all, page...); more {
			after = page[len(page)-1].GetSeq()
		}
	}
	return all
}

func seqs(events []*messages.LoggedEvent) (numbers []uint64) {
	for _, e := range events {
		numbers = append(numbers, e.GetSeq())
	}
	return numbers
}

func wantSeqs(t *testing.T, what string, events []*messages.LoggedEvent, want ...uint64) {
	t.Helper()
	if got := seqs(events); !slices.Equal(got, want) {
		t.Errorf("%s: events %v, want %v", what, got, want)
	}
}

// wantSmall wants the log to keep to its bounds.
func wantSmall(t *testing.T, fs vfs.FS, fileBytes int) (files []string) {
	t.Helper()
	names, err := listIfExists(fs, logDir+"/"+eventsDir)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) > eventFiles {
		t.Fatalf("%d files: %v", len(names), names)
	}
	for _, name := range names {
		info, err := fs.Stat(logDir + "/" + eventsDir + "/" + name)
		if err != nil || info.Size() > int64(fileBytes) {
			t.Fatalf("%s has %d bytes: %v", name, info.Size(), err)
		}
	}
	return names
}

// TestEventLogStaysSmall: whatever is published, the log keeps to its bounds, and holds the newest events without a gap.
func TestEventLogStaysSmall(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs)
	rng := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 100, 5_000, 90_000, 400_000, eventFileBytes - 200, eventFileBytes, 3 * eventFileBytes}
	const n = 120
	for seq := range uint64(n) {
		appendEvents(t, l, logged(seq+1, strings.Repeat("x", sizes[rng.IntN(len(sizes))])))
		wantSmall(t, fs, eventFileBytes)
		if seq%30 == 7 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = openLog(fs)
		}
	}
	events := readAll(t, l)
	if len(events) < eventFiles || events[len(events)-1].GetSeq() != n {
		t.Fatalf("events %v", seqs(events))
	}
	for i, e := range events {
		if e.GetSeq() != events[0].GetSeq()+uint64(i) {
			t.Fatalf("events have a gap: %v", seqs(events))
		}
		if e.GetAbridged() != (e.GetEvent() == nil) {
			t.Errorf("event %d: abridged %v, event %T", e.GetSeq(), e.GetAbridged(), e.GetEvent())
		}
	}
	if files := wantSmall(t, fs, eventFileBytes); len(files) != eventFiles {
		t.Errorf("%d files after %d events", len(files), n)
	}
}

// TestAbridgedEvent: of an event that does not fit, the lists go, in order, as far as they must.
func TestAbridgedEvent(t *testing.T) {
	row := &messages.TableResult{Table: strings.Repeat("r", 1000)}
	rows := func(n int) []*messages.TableResult { return slices.Repeat([]*messages.TableResult{row}, n) }
	for _, c := range []struct {
		backedUp, failed, left, leftFailed int
		abridged                           bool
	}{{500, 500, 500, 500, false}, {2000, 500, 0, 500, true}, {2000, 2000, 0, 0, true}, {0, 2000, 0, 0, true}} {
		l := newLog(t, vfs.NewMem())
		e := &messages.LoggedEvent{Seq: 1, Time: timestamppb.Now()}
		e.SetMessage(&messages.BackupComplete{RunId: "run", BackedUp: rows(c.backedUp), Failed: rows(c.failed)})
		appendEvents(t, l, e)
		if n := len(e.GetBackupComplete().GetBackedUp()); n != c.backedUp || e.GetAbridged() {
			t.Errorf("%v: the event itself changed", c)
		}
		got := readAll(t, l)
		if len(got) != 1 {
			t.Fatalf("%v: %d events", c, len(got))
		}
		complete := got[0].GetBackupComplete()
		if len(complete.GetBackedUp()) != c.left || len(complete.GetFailed()) != c.leftFailed ||
			complete.GetRunId() != "run" || got[0].GetAbridged() != c.abridged {
			t.Errorf("%v: %d and %d rows of run %q, abridged %v", c, len(complete.GetBackedUp()), len(complete.GetFailed()),
				complete.GetRunId(), got[0].GetAbridged())
		}
	}
}

// TestEventPages: after, since, limit and the size of a page choose what is read.
func TestEventPages(t *testing.T) {
	l := newLog(t, vfs.NewMem())
	if events, more, err := l.Read(0, time.Time{}, 0); len(events) > 0 || more || err != nil {
		t.Errorf("before the first event: %v, %v, %v", events, more, err)
	}
	if last, err := l.Last(); last != 0 || err != nil {
		t.Errorf("before the first event the last is %d, %v", last, err)
	}
	for seq := range uint64(9) {
		appendEvents(t, l, logged(seq+1, strings.Repeat("x", 300_000))) // three a page, and a file
	}
	for _, c := range []struct {
		after uint64
		since int64
		limit int
		want  []uint64
		more  bool
	}{
		{0, 0, 0, []uint64{1, 2, 3}, true},
		{3, 0, 0, []uint64{4, 5, 6}, true},
		{2, 0, 2, []uint64{3, 4}, true},
		{6, 0, 3, []uint64{7, 8, 9}, false},
		{8, 0, 1, []uint64{9}, false},
		{9, 0, 0, nil, false},
		{1 << 63, 0, 0, nil, false},
		{^uint64(0), 0, 0, nil, false},
		{0, 5, 0, []uint64{5, 6, 7}, true},
		{0, 9, 0, []uint64{9}, false},
		{7, 5, 0, []uint64{8, 9}, false},
		{0, 10, 0, nil, false},
	} {
		events, more, err := l.Read(c.after, time.Unix(c.since, 0), c.limit)
		if err != nil || more != c.more {
			t.Errorf("%v: more %v, %v", c, more, err)
		}
		wantSeqs(t, fmt.Sprint(c), events, c.want...)
	}
	if last, err := l.Last(); last != 9 || err != nil {
		t.Errorf("last is %d, %v", last, err)
	}
	if err := l.Append(logged(9, "")); !errors.Is(err, messages.ErrInvalid) {
		t.Errorf("a number that was given already: %v", err)
	}
	appendEvents(t, l, logged(10, ""))
}

// TestGarbageInEventLog: lines that are no events are skipped, with one warning that counts them, and events of a newer
// version keep their numbers.
func TestGarbageInEventLog(t *testing.T) {
	fs := vfs.NewMem()
	var out bytes.Buffer
	l := newLog(t, fs)
	l.logger = slog.New(slog.NewTextHandler(&out, nil))
	appendEvents(t, l, logged(5, ""))
	path := l.path(5)
	first, err := ReadFile(fs, path)
	if err != nil {
		t.Fatal(err)
	}
	garbage := []string{"null", "{", "\x00\x00\x00", `"seq"`, `{"seq":"6"}`, `{"time":"2026-01-01T00:00:00Z"}`, `{"seq":"0","time":"2026-01-01T00:00:00Z"}`,
		strings.TrimSpace(string(first)), `{"seq":"7","time":"2026-01-01T00:00:00Z"} {}`, strings.TrimSpace(string(first))[1:]}
	newer := `{"seq":"8","time":"2026-01-01T00:00:00Z","diskRepaired":{"table":"t"}}`
	state := `{"seq":"9","time":"2026-01-01T00:00:00Z","tableStateChanged":{"table":"t","to":"TABLE_STATE_MELTED","heat":3}}`
	text := string(first) + strings.Join(garbage, "\n") + "\n" + newer + "\n  \n\n" + state + "\n" + `{"seq":"10","ti`
	if err := WriteDurably(fs, path, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := WriteDurably(fs, l.dir+"/00000000000000000007.json", []byte("no file of the log")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		events := readAll(t, l)
		wantSeqs(t, "beside garbage", events, 5, 8, 9)
		if events[1].GetEvent() != nil || events[2].GetTableStateChanged().GetTable() != "t" {
			t.Errorf("of a newer version: %v", events[1:])
		}
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, fmt.Sprintf("lines=%d", len(garbage))) {
		t.Errorf("warnings:\n%s", got)
	}
	l = openLog(fs)
	appendEvents(t, l, logged(10, ""), logged(11, ""))
	wantSeqs(t, "after garbage", readAll(t, l), 5, 8, 9, 10, 11)
}

// TestOversizedEventFile: a file that is larger than any of ours is left as it is, and the log goes on behind it.
func TestOversizedEventFile(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs)
	appendEvents(t, l, logged(1, ""))
	big := strings.Repeat("x", 2*eventFileBytes)
	if err := WriteDurably(fs, l.path(2), []byte(big)); err != nil {
		t.Fatal(err)
	}
	l = openLog(fs)
	appendEvents(t, l, logged(3, ""))
	wantSeqs(t, "behind it", readAll(t, l), 1, 3)
	if data, err := ReadFile(fs, l.path(2)); string(data) != big {
		t.Errorf("the file was changed: %d bytes, %v", len(data), err)
	}
}

// TestEventLogOfReadOnlyDirectory can be read, and is not written.
func TestEventLogOfReadOnlyDirectory(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs)
	appendEvents(t, l, logged(1, ""))
	readOnly := (&Directory{fs: fs, path: logDir, readOnly: true}).EventLog()
	wantSeqs(t, "read-only", readAll(t, readOnly), 1)
	if err := readOnly.Append(logged(2, "")); !errors.Is(err, messages.ErrInvalid) {
		t.Errorf("appended: %v", err)
	}
	wantSeqs(t, "read-only", readAll(t, readOnly), 1)
}

// TestReadEventsWhileTheyAreWritten: a reader gets true events, in order, while files come and go.
func TestReadEventsWhileTheyAreWritten(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs)
	const n = 400
	reason := strings.Repeat("x", 40_000)
	ended := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			reader := openLog(fs)
			var after uint64
			for last := false; ; {
				events, more, err := reader.Read(after, time.Time{}, 0)
				if err != nil {
					t.Errorf("read after %d: %v", after, err)
					return
				}
				for _, e := range events {
					if e.GetSeq() <= after || !proto.Equal(e, logged(e.GetSeq(), reason)) {
						t.Errorf("event %d after %d: %.100v", e.GetSeq(), after, e)
						return
					}
					after = e.GetSeq()
				}
				if last && !more {
					break
				}
				select {
				case <-ended:
					last = true
				default:
				}
			}
			if after != n {
				t.Errorf("a reader ended with event %d", after)
			}
		})
	}
	for seq := range uint64(n) {
		appendEvents(t, l, logged(seq+1, reason))
	}
	close(ended)
	readers.Wait()
}
