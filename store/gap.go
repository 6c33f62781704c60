package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"

	"github.com/gabiondb/gabion/messages"
)

// Pebble takes a damaged record of the MANIFEST for its end, and a WAL that is missing for one that never was. It
// forgets the sstables that are named behind, or skips the operations in between, without a word; and as the WALs go
// on behind the gap, the record that it finds reaches the mark. What tells is that each group's record says which
// operations came before.

// manifestIsWhole tells whether the MANIFEST can be read to its end. After a clean stop it can; a crash may tear its last
// record.
func manifestIsWhole(fs vfs.FS, path string) (bool, error) {
	desc, err := pebble.Peek(path, fs)
	if err != nil || !desc.Exists {
		return true, nil // the open says why
	}
	f, err := fs.Open(desc.ManifestFilename)
	if err != nil {
		return true, nil // the open says why
	}
	reader := record.NewReader(f, 0)
	for err == nil {
		var r io.Reader
		if r, err = reader.Next(); err == nil {
			_, err = io.Copy(io.Discard, r)
		}
	}
	whole := errors.Is(err, io.EOF)
	if whole || isBadRecord(err) {
		err = nil
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return false, fmt.Errorf("read %s: %w", desc.ManifestFilename, err)
	}
	return whole, nil
}

// isBadRecord tells the errors of a log that ends early, or is damaged, from those of a disk that cannot be read.
func isBadRecord(err error) bool {
	return errors.Is(err, record.ErrInvalidChunk) || errors.Is(err, record.ErrZeroedChunk) || errors.Is(err, record.ErrUnexpectedEOF)
}

// checkGap returns a LossError where the operations in the WALs do not go on where those in the sstables end. It reads
// the WALs, and changes nothing.
func (p *opening) checkGap() error {
	last, err := p.flushedRecord()
	if err != nil {
		return err
	}
	logs, err := wal.Scan(wal.Dir{FS: p.dir.fs, Dirname: p.path})
	if err != nil {
		return fmt.Errorf("list WALs: %w", err)
	}
	for _, log := range logs {
		if last, err = p.follow(log, last); err != nil {
			return fmt.Errorf("read WAL %v: %w", log.Num, err)
		}
	}
	return nil
}

// flushedRecord is the record that the sstables alone hold: one at seq 0 when there is none yet.
func (p *opening) flushedRecord() (*messages.TableRecord, error) {
	db, flushed, err := p.openDB(withoutWALs{p.dir.fs}, true, nil)
	if errors.Is(err, errNoRecord) {
		return &messages.TableRecord{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open without WALs: %w", err)
	}
	return flushed, closeDB(db)
}

// follow reads the groups of one WAL. Those up to last are in sstables, and what is behind a bad record was judged by Pebble.
func (p *opening) follow(log wal.LogicalLog, last *messages.TableRecord) (_ *messages.TableRecord, err error) {
	reader := log.OpenForRead()
	defer func() { err = errors.Join(err, reader.Close()) }()
	var group bytes.Buffer
	for {
		r, _, err := reader.NextRecord()
		if err == nil {
			group.Reset()
			_, err = group.ReadFrom(r)
		}
		if errors.Is(err, io.EOF) || isBadRecord(err) {
			return last, nil
		}
		if err != nil {
			return nil, err
		}
		next, operations, err := decodeGroup(group.Bytes())
		if err != nil {
			return nil, err
		}
		if err := follows(last, next, operations); err != nil {
			return nil, messages.WithHint(err, lossHint)
		}
		if next.GetPosition().GetSeq() > last.GetPosition().GetSeq() {
			last = next
		}
	}
}

// follows returns a LossError where operations are missing between the record last and that of a group, next. A group that last
// holds already follows it, and where last is unknown each does.
func follows(last, next *messages.TableRecord, operations uint64) error {
	if last == nil || next.GetPosition().GetSeq() <= last.GetPosition().GetSeq() {
		return nil
	}
	if next.GetSchemaVersion() != last.GetSchemaVersion() && last.GetTable() != "" {
		operations++ // which puts nothing into the batch but the record
	}
	if before := next.GetPosition().GetSeq() - operations; before > last.GetPosition().GetSeq() {
		return &LossError{Lineage: next.GetPosition().GetLineage(), Have: last.GetPosition().GetSeq(), Want: before,
			Witness: "write-ahead log"}
	}
	return nil
}

// decodeGroup returns the record that a group's batch carries, and how many operations.
func decodeGroup(batch []byte) (next *messages.TableRecord, operations uint64, err error) {
	if len(batch) < batchrepr.HeaderLen {
		return nil, 0, fmt.Errorf("batch of %d B: %w", len(batch), messages.ErrDataLoss)
	}
	reader := batchrepr.Read(batch)
	for {
		_, key, value, ok, err := reader.Next()
		switch {
		case err != nil:
			return nil, 0, fmt.Errorf("read batch: %w", witness(err))
		case !ok:
			return next, operations, nil
		case !bytes.Equal(key, recordKey):
			operations++
		default:
			if next, err = decodeRecord(value); err != nil {
				return nil, 0, err
			}
		}
	}
}

// withoutWALs is a file system that lists no WAL.
type withoutWALs struct{ vfs.FS }

func (fs withoutWALs) List(dir string) ([]string, error) {
	names, err := fs.FS.List(dir)
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, ".log") }), err
}

func (fs withoutWALs) Unwrap() vfs.FS { return fs.FS }
