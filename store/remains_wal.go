package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/wal"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

const (
	// walBlock is the size of the blocks of a WAL. No chunk of a record spans two of them, so that a reader can begin at each.
	walBlock = 32 << 10
	// mostTries is behind how many damaged blocks of one WAL somebody looks for more: each try may read to the WAL's end.
	mostTries = 64
)

// cutWALs shows each WAL up to its damage, and none of the operations that follow a missing one. flushed is the record
// that the sstables alone hold. It is nil where it cannot be read; the first readable group is then taken for the next.
func (r *Remains) cutWALs(flushed *messages.TableRecord, progress func() error) error {
	logs, err := wal.Scan(wal.Dir{FS: r.view, Dirname: r.path})
	if err != nil {
		return fmt.Errorf("list WALs: %w", err)
	}
	last, whole := flushed, true
	for i, log := range logs {
		if err := progress(); err != nil {
			return err
		}
		_, path := log.SegmentLocation(0)
		name := r.fs.PathBase(path)
		if !whole { // what follows a gap is told of, and not applied
			r.behind(log, path, 0)
			r.view.hide(path)
			continue
		}
		end, err := r.followWAL(log, &last)
		var loss *LossError
		switch {
		case err == nil:
			continue
		case errors.As(err, &loss):
			whole = false
			r.damaged("%s: %v", name, loss)
		case i == len(logs)-1 && errors.Is(err, record.ErrUnexpectedEOF):
			r.tail = fmt.Sprintf("%s, at byte %d: %v", name, end, err) // which a crash leaves, too
		case !isBadWAL(err):
			return fmt.Errorf("read %s: %w", name, err)
		default:
			// The next WAL may go on where this one ends.
			r.damaged("%s, at byte %d: %v", name, end, err)
		}
		r.behind(log, path, end)
		r.view.cut(path, end)
	}
	return nil
}

// isBadWAL tells damage of a WAL from a disk that fails otherwise.
func isBadWAL(err error) bool {
	return isBadRecord(err) || Unreadable(err) || WrongKind(err) || errors.Is(err, disk.ErrKind) || errors.Is(err, messages.ErrDataLoss) || damaged(err)
}

// followWAL reads the groups of one WAL, and raises last to each that follows it. It returns where the last whole record ends, and
// what is there: nil at the end of the WAL, a LossError where operations are missing.
func (r *Remains) followWAL(log wal.LogicalLog, last **messages.TableRecord) (end int64, err error) {
	reader := log.OpenForRead()
	defer func() { err = errors.Join(err, reader.Close()) }()
	var group bytes.Buffer
	for {
		body, at, err := reader.NextRecord()
		end = at.Physical
		if err == nil {
			group.Reset()
			_, err = group.ReadFrom(body)
		}
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return end, err
		}
		next, operations, err := decodeGroup(group.Bytes())
		if err != nil {
			return end, err
		}
		if err := follows(*last, next, operations); err != nil {
			return end, err
		}
		if *last == nil || next.GetPosition().GetSeq() >= (*last).GetPosition().GetSeq() {
			*last = next
		}
	}
}

// behind reads what can be read of a WAL from offset on, for how far it reached.
func (r *Remains) behind(log wal.LogicalLog, path string, offset int64) {
	f, err := r.view.Open(path)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return
	}
	number := sameKind(pebble.SSTableInfo{}.BackingSSTNum, uint64(log.Num))
	if offset > 0 {
		offset = (offset/walBlock + 1) * walBlock
	}
	for try := 0; try < mostTries && offset < info.Size(); try++ {
		reader := record.NewReader(io.NewSectionReader(f, offset, info.Size()-offset), number)
		for {
			body, err := reader.Next()
			var group bytes.Buffer
			if err == nil {
				_, err = group.ReadFrom(body)
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				offset = ((offset+reader.Offset())/walBlock + 1) * walBlock
				break
			}
			if next, _, err := decodeGroup(group.Bytes()); err == nil {
				r.Reached = max(r.Reached, next.GetPosition().GetSeq())
			}
		}
	}
}

// sameKind is n as the type of like, which has no name outside Pebble.
func sameKind[T ~uint64](like T, n uint64) T { return T(n) }
