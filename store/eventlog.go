package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

const (
	eventsDir = "events"
	// eventFileBytes bounds one file of the event log, and with it one line.
	eventFileBytes = 1 << 20
	// eventFiles is how many files are kept.
	eventFiles = 4
)

// EventLog is DIR/events: the newest events, one a line, in a few files of bounded size. Append, Sync and Close
// may be called by one goroutine at a time, Last and Read by any, meanwhile too.
type EventLog struct {
	fs       vfs.FS
	dir      string
	readOnly bool
	logger   *slog.Logger
	// check returns an error when dir may lie in another directory than the locked one.
	check func() error
	// fileBytes is eventFileBytes, but in tests.
	fileBytes int

	// file is the newest one: nil before the first Append and after one that failed. The next Append looks anew
	// at what lies on disk.
	file vfs.File
	size int64
	last uint64 // the highest number that is on disk, or may be

	mu sync.Mutex
	// unreadable counts the bad lines that a warning was given of, by file.
	unreadable map[string]int
}

// EventLog returns the directory's event log, and touches no file yet. There may be one that writes.
func (d *Directory) EventLog() *EventLog {
	return &EventLog{fs: d.fs, dir: d.fs.PathJoin(d.path, eventsDir), readOnly: d.readOnly, logger: d.logger,
		check: d.Check, fileBytes: eventFileBytes}
}

// Append writes an event, whose number must be above all before, and fsyncs nothing. After an error the event may
// be in the log or not, and the next Append may succeed. An event that would fill a file by itself is abridged.
func (l *EventLog) Append(event *messages.LoggedEvent) error {
	if l.readOnly {
		return fmt.Errorf("append event: directory is open for reading only: %w", messages.ErrInvalid)
	}
	line, err := eventLine(event, l.fileBytes)
	if err != nil {
		return fmt.Errorf("append event: %w", err)
	}
	if l.file == nil {
		if err := l.resume(); err != nil {
			return fmt.Errorf("open event log: %w", l.forget(err))
		}
	}
	if event.GetSeq() <= l.last {
		return fmt.Errorf("append event: number %d is not above %d: %w", event.GetSeq(), l.last, messages.ErrInvalid)
	}
	if l.file == nil || l.size+int64(len(line)) > int64(l.fileBytes) {
		if err := l.rotate(event.GetSeq()); err != nil {
			return fmt.Errorf("begin file of event log: %w", l.forget(err))
		}
	}
	l.last = event.GetSeq()
	if _, err := l.file.WriteAt(line, l.size); err != nil {
		return fmt.Errorf("append event: %w", l.forget(err))
	}
	l.size += int64(len(line))
	return nil
}

// Sync makes durable what was appended.
func (l *EventLog) Sync() error {
	if l.file == nil {
		return nil
	}
	// The check comes after the fsync: what was written before a replacement is safe in the old directory.
	if err := errors.Join(l.file.Sync(), l.check()); err != nil {
		return fmt.Errorf("sync event log: %w", l.forget(err))
	}
	return nil
}

// Close makes durable what was appended and closes the file. A later Append opens it again.
func (l *EventLog) Close() error {
	err := l.Sync()
	return errors.Join(err, l.forget(nil))
}

// forget closes the file, if there is one, and returns err.
func (l *EventLog) forget(err error) error {
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
		l.file = nil
	}
	return err
}

// resume opens the newest file, if there is one, and repairs its end: a line that a crash, or a write that failed,
// cut short is blanked, and the next one begins behind it.
func (l *EventLog) resume() error {
	if err := l.check(); err != nil {
		return err
	}
	if err := MkdirDurably(l.fs, l.dir); err != nil {
		return err
	}
	files, err := l.prune(eventFiles)
	if err != nil || len(files) == 0 {
		return err
	}
	// Who made the newest file may have ended before its name was durable.
	if err := SyncDir(l.fs, l.dir); err != nil {
		return err
	}
	newest := files[len(files)-1]
	f, err := l.fs.OpenReadWrite(l.path(newest), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	l.file = f
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	data, err := l.readEvents(newest)
	if err != nil {
		return err
	}
	l.size, l.last = stat.Size(), lastEvent(newest, data)
	if l.size > int64(len(data)) {
		return nil // larger than any of ours: the next line begins another file
	}
	at, repair := mendEvents(data)
	if len(repair) == 0 {
		return nil
	}
	if _, err := f.WriteAt(repair, int64(at)); err != nil {
		return err
	}
	l.size = int64(at + len(repair))
	return nil
}

// rotate begins a file with the event numbered first. The file before it is durable by then: a crash leaves no hole
// between two files.
func (l *EventLog) rotate(first uint64) error {
	if err := l.Close(); err != nil {
		return err
	}
	if err := l.check(); err != nil {
		return err
	}
	// What goes, goes first: a disk that refuses to remove must not be filled.
	if _, err := l.prune(eventFiles - 1); err != nil {
		return err
	}
	f, err := l.fs.OpenReadWrite(l.path(first), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	l.file, l.size = f, 0
	return SyncDir(l.fs, l.dir)
}

// prune removes the oldest files until no more than most are left, and returns the numbers of these.
func (l *EventLog) prune(most int) ([]uint64, error) {
	files, err := l.files()
	if err != nil {
		return nil, err
	}
	for len(files) > most {
		if err := l.fs.Remove(l.path(files[0])); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		files = files[1:]
	}
	return files, nil
}

// Last returns the highest number that an event on disk has, or may have had; 0 when there is none.
func (l *EventLog) Last() (uint64, error) {
	files, err := l.files()
	if err != nil || len(files) == 0 {
		return 0, err
	}
	newest := files[len(files)-1]
	data, err := l.readEvents(newest)
	if err != nil {
		return 0, fmt.Errorf("read event log: %w", err)
	}
	return lastEvent(newest, data), nil
}

// Read returns the events on disk that are numbered above after and were published at since or later, oldest first:
// at most limit, where that is not 0, and 1 MiB, but at least one. more tells that others follow. Lines that are
// no event are skipped, with a warning.
func (l *EventLog) Read(after uint64, since time.Time, limit int) (events []*messages.LoggedEvent, more bool, err error) {
	files, err := l.files()
	if err != nil {
		return nil, false, fmt.Errorf("read event log: %w", err)
	}
	page := eventPage{after: after, since: since, limit: limit}
	for i, first := range files {
		if i+1 < len(files) && files[i+1]-1 <= after {
			continue
		}
		data, err := l.readEvents(first)
		if errors.Is(err, os.ErrNotExist) {
			continue // the oldest one, removed meanwhile
		}
		if err != nil {
			return nil, false, fmt.Errorf("read event log: %w", err)
		}
		bad, full := page.take(data)
		l.warn(first, bad)
		if full {
			return page.events, true, nil
		}
	}
	return page.events, false, nil
}

// warn logs what Read skipped, once.
func (l *EventLog) warn(file uint64, bad int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	path := l.path(file)
	if bad <= l.unreadable[path] {
		return
	}
	if l.unreadable == nil || len(l.unreadable) > 2*eventFiles {
		l.unreadable = make(map[string]int)
	}
	l.unreadable[path] = bad
	l.logger.Warn("event log has lines that are no events: they are skipped", "file", path, "lines", bad)
}

// files returns the numbers that the files begin with, which are their names, oldest first.
func (l *EventLog) files() ([]uint64, error) {
	names, err := listIfExists(l.fs, l.dir)
	if err != nil {
		return nil, err
	}
	var files []uint64
	for _, name := range names {
		if first, ok := eventFile(name); ok {
			files = append(files, first)
		}
	}
	slices.Sort(files)
	return files, nil
}

func (l *EventLog) path(first uint64) string {
	return l.fs.PathJoin(l.dir, eventFileName(first))
}

// readEvents returns the content of a file, as far as it can be ours.
func (l *EventLog) readEvents(first uint64) ([]byte, error) {
	path := l.path(first)
	f, err := l.fs.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(l.fileBytes)))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

// eventPage gathers what one Read returns.
type eventPage struct {
	after uint64
	since time.Time
	limit int

	events []*messages.LoggedEvent
	bytes  int
	last   uint64 // the highest number so far, of those left out too
}

// take adds the events of one file. It returns how many lines were none, and whether an event did not fit any more.
func (p *eventPage) take(data []byte) (bad int, full bool) {
	for line, whole := range eventLines(data) {
		e, ok := parseEvent(line)
		if !ok || e.GetSeq() <= p.last {
			// What was not ended yet is being written.
			if whole {
				bad++
			}
			continue
		}
		p.last = e.GetSeq()
		if e.GetSeq() <= p.after || e.GetTime().AsTime().Before(p.since) {
			continue
		}
		p.bytes += proto.Size(e)
		if len(p.events) > 0 && (p.bytes > messages.MaxPage || len(p.events) == p.limit) {
			return bad, true
		}
		p.events = append(p.events, e)
	}
	return bad, false
}
