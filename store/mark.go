package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/oklog/ulid/v2"

	"github.com/gabiondb/gabion/internal/disk"
)

// A mark file is the high-water mark of one lineage: a seq whose group has passed the
// acknowledgement gate. Pebble drops a damaged WAL tail without a word; a record below the mark
// tells. It has two slots, written in turn, so that a torn write leaves the other one.
//
// A slot, little-endian, at offset 0 and at offset markSlotGap:
//
//	 0  4  magic "GBMK"
//	 4  1  version, 1
//	 5  1  flags: bit 0, closed cleanly
//	 6  2  zero
//	 8 16  lineage, the ULID's bytes
//	24  8  seq
//	32  8  turn, the slot with the higher one counts
//	40  4  CRC-32C of the bytes before
const (
	markMagic   = "GBMK"
	markVersion = 1
	markClean   = 1
	markSize    = 44
	// markSlotGap keeps the slots in pages of their own.
	markSlotGap = 4096
	markSuffix  = ".mark"
	// markSyncEvery bounds how long a written mark waits for its fsync.
	markSyncEvery = time.Second
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// markValue is what a mark says.
type markValue struct {
	lineage string
	seq     uint64
	turn    uint64
	clean   bool
}

// encode appends the slot to b.
func (v markValue) encode(b []byte) ([]byte, error) {
	id, err := ulid.ParseStrict(v.lineage)
	if err != nil {
		return nil, fmt.Errorf("encode mark: lineage %q: %w", v.lineage, err)
	}
	begin := len(b)
	b = append(b, markMagic...)
	var flags byte
	if v.clean {
		flags = markClean
	}
	b = append(b, markVersion, flags, 0, 0)
	b = append(b, id[:]...)
	b = binary.LittleEndian.AppendUint64(b, v.seq)
	b = binary.LittleEndian.AppendUint64(b, v.turn)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[begin:], castagnoli)), nil
}

func decodeMark(b []byte) (markValue, bool) {
	if len(b) < markSize || string(b[:4]) != markMagic || b[4] != markVersion {
		return markValue{}, false
	}
	if crc32.Checksum(b[:markSize-4], castagnoli) != binary.LittleEndian.Uint32(b[markSize-4:]) {
		return markValue{}, false
	}
	return markValue{
		lineage: ulid.ULID(b[8:24]).String(),
		clean:   b[5]&markClean != 0,
		seq:     binary.LittleEndian.Uint64(b[24:]),
		turn:    binary.LittleEndian.Uint64(b[32:]),
	}, true
}

// readMark returns the newer valid slot; ok is false when the file is missing or has none.
func readMark(fs vfs.FS, path string) (v markValue, ok bool, err error) {
	// What is behind the slots counts for nothing: each slot proves itself.
	data, err := disk.ReadHead(fs, path, markSlotGap+markSize)
	if errors.Is(err, os.ErrNotExist) {
		return v, false, nil
	}
	if err != nil {
		return v, false, err
	}
	for _, offset := range []int{0, markSlotGap} {
		if offset > len(data) {
			continue
		}
		if slot, valid := decodeMark(data[offset:]); valid && (!ok || slot.turn > v.turn) {
			v, ok = slot, true
		}
	}
	return v, ok, nil
}

// mark writes a lineage's mark file. Its methods are called by one goroutine at a time, the acker's
// or the one that closes, but for the fsync, which a timer runs.
type mark struct {
	fs     vfs.FS
	path   string
	logger *slog.Logger
	// synced, unless nil, is called after each fsync by the timer: about once a second while the table is written.
	synced func()

	mu      sync.Mutex
	file    vfs.File
	last    markValue
	slot    [markSize]byte // what is written
	timer   *time.Timer    // armed while a written mark is not fsynced
	failed  bool
	syncing sync.WaitGroup // the timer's fsync, which runs outside mu
}

// openMark opens or makes the mark file at path, whose name is made durable, to go on from last; its turn is 0
// when no slot was read.
func openMark(fs vfs.FS, path string, last markValue, logger *slog.Logger) (*mark, error) {
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("open mark: %w", err)
	}
	// A slot is written only after the name is durable, so one that was read proves it.
	if last.turn == 0 {
		if err := SyncDir(fs, fs.PathDir(path)); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return &mark{fs: fs, path: path, logger: logger, file: f, last: last}, nil
}

// advance writes that seq was acknowledged. Its fsync follows within markSyncEvery. A mark that cannot be
// written only weakens what the next open can see, so it is logged and never fails a commit.
func (m *mark) advance(seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(seq, false); err != nil {
		m.warn(err)
	}
	if m.timer == nil { // also after an error: synced is called all the same
		m.timer = time.AfterFunc(markSyncEvery, m.sync)
	}
}

// stamp writes seq and whether the store is closed cleanly, durably.
func (m *mark) stamp(seq uint64, clean bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(seq, clean); err != nil {
		return err
	}
	if err := m.file.Sync(); err != nil {
		return fmt.Errorf("sync mark: %w", err)
	}
	return nil
}

func (m *mark) write(seq uint64, clean bool) error {
	next := markValue{lineage: m.last.lineage, seq: seq, turn: m.last.turn + 1, clean: clean}
	slot, err := next.encode(m.slot[:0])
	if err != nil {
		return err
	}
	if _, err := m.file.WriteAt(slot, int64(next.turn%2)*markSlotGap); err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	m.last = next
	return nil
}

func (m *mark) sync() {
	m.mu.Lock()
	m.timer = nil
	file := m.file
	if file == nil {
		m.mu.Unlock()
		return
	}
	m.syncing.Add(1)
	m.mu.Unlock()
	// Outside the mutex, so that a slow fsync does not hold up the acknowledgements.
	err := file.Sync()
	if m.synced != nil {
		m.synced()
	}
	m.syncing.Done()
	if err != nil {
		m.mu.Lock()
		m.warn(fmt.Errorf("sync mark: %w", err))
		m.mu.Unlock()
	}
}

func (m *mark) warn(err error) {
	if !m.failed {
		m.logger.Warn("high-water mark not written: loss may go unseen at the next open", "path", m.path, "error", err)
	}
	m.failed = true
}

func (m *mark) close() error {
	m.mu.Lock()
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
	file := m.file
	m.file = nil
	m.mu.Unlock()
	m.syncing.Wait()
	return file.Close()
}
