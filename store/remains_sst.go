package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/block/blockkind"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// mostPatched bounds the memory for what is left of damaged sstables. Of those past it nothing is taken.
const mostPatched = 256 << 20

// sstables looks at the sstables, and shows those that are damaged without their damaged blocks. It returns the record
// that they hold alone: nil where it cannot be read, and an empty one where the table has no sstables. A file that is
// missing is always seen, a damaged block only with blocks.
func (r *Remains) sstables(blocks bool, progress func() error) (flushed *messages.TableRecord, err error) {
	tables, known, err := r.listTables()
	if err != nil {
		return nil, err
	}
	patched := int64(0)
	done := make(map[string]bool)
	for _, t := range tables {
		if err := progress(); err != nil {
			return nil, err
		}
		name := fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum))
		if done[name] {
			continue
		}
		done[name] = true
		path := r.fs.PathJoin(r.path, name)
		bad := r.present(path, int64(t.Size), t.Virtual)
		_, missing := r.view.others[path]
		if missing {
			bad = fmt.Errorf("it is missing: %w", messages.ErrDataLoss)
		}
		if bad == nil && blocks {
			bad = checkBlocks(r.view, path, func(int) error { return progress() })
		}
		switch {
		case bad == nil:
			continue
		case !isBadFile(bad):
			return nil, bad
		}
		r.damaged("%s: %v", name, unwrapFile(bad))
		r.patch(name, t, missing || patched+int64(t.Size) > mostPatched)
		patched += int64(t.Size)
	}
	r.joinHoles()
	if len(r.Holes) == 0 && known == nil && len(tables) == 0 {
		known = &messages.TableRecord{}
	}
	for _, h := range r.Holes {
		if bytes.Compare(h.lower, recordKey) <= 0 {
			known = nil
		}
	}
	return known, nil
}

// listTables returns the sstables that the MANIFEST names, those that are missing among them, and the record that they hold.
func (r *Remains) listTables() (tables []pebble.SSTableInfo, known *messages.TableRecord, err error) {
	for {
		s, err := r.openThrough(withoutWALs{r.view})
		if err != nil {
			return nil, nil, err
		}
		tables, err = s.listSSTables()
		known = s.Record()
		missing := missingTable(err)
		if missing != "" {
			err = nil
		}
		if err := errors.Join(err, s.Close()); err != nil {
			return nil, nil, err
		}
		if missing == "" {
			return tables, known, nil
		}
		// Pebble names one at a time, and lists none of the others while it knows none of that name.
		path := r.fs.PathJoin(r.path, missing)
		if _, shown := r.view.others[path]; shown {
			return nil, nil, fmt.Errorf("list sstables: %w", messages.ErrDataLoss)
		}
		p := &patcher{memory: r.view.memory}
		if err := p.writeEmpty("/" + missing); err != nil {
			return nil, nil, err
		}
		r.view.others[path] = "/" + missing
	}
}

var unknownTable = regexp.MustCompile(`file ([0-9]{6,}) \(type sstable\) unknown`)

// missingTable is the name of the file that Pebble misses, "" where the error is another. It is in its words alone.
func missingTable(err error) string {
	if !errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if found := unknownTable.FindStringSubmatch(err.Error()); found != nil {
		return found[1] + ".sst"
	}
	return ""
}

// present returns what is wrong with a file that the MANIFEST names, without reading it.
func (r *Remains) present(path string, size int64, virtual bool) error {
	info, err := r.view.Stat(path)
	switch {
	case err != nil:
		return err
	case info.Size() != size && !virtual:
		return fmt.Errorf("it has %d B, the MANIFEST says %d B: %w", info.Size(), size, messages.ErrDataLoss)
	}
	return nil
}

func isBadFile(err error) bool {
	return errors.Is(err, messages.ErrDataLoss) || Unreadable(err) || WrongKind(err) || errors.Is(err, disk.ErrKind) || errors.Is(err, os.ErrNotExist)
}

// unwrapFile is the error without the file that it is about.
func unwrapFile(err error) error {
	if file := new(FileError); errors.As(err, &file) {
		return file.Err
	}
	return err
}

// patch shows an sstable without its damaged blocks, and notes their keys as holes. Where those keys are unknown, or all
// is true, the sstable is shown empty.
func (r *Remains) patch(name string, t pebble.SSTableInfo, all bool) {
	whole := Hole{File: name, lower: bytes.Clone(t.Smallest.UserKey), upper: after(t.Largest.UserKey), newest: uint64(t.LargestSeqNum)}
	p := &patcher{fs: r.view, from: r.fs.PathJoin(r.path, name), memory: r.view.memory, whole: whole}
	other := "/" + name
	holes, err := []Hole{whole}, error(nil)
	if !all {
		holes, err = p.write(other)
	}
	if all || err != nil {
		// What the file covers by a range of deletes is within its keys too.
		holes = []Hole{whole}
		if err := p.writeEmpty(other); err != nil {
			r.logger.Warn("damaged sstable is not shown empty", "file", name, "error", err)
			return
		}
	}
	r.view.others[p.from] = other
	r.Holes = append(r.Holes, holes...)
}

// after is the first key behind key.
func after(key []byte) []byte { return append(bytes.Clone(key), 0) }

// patcher writes what can be read of one sstable.
type patcher struct {
	fs     vfs.FS
	from   string
	memory *vfs.MemFS
	whole  Hole
}

func plainOptions() *pebble.Options {
	o := (&shared{}).pebbleOptions() // without a cache
	o.EnsureDefaults()
	return o
}

// writer makes an sstable in memory.
func (p *patcher) writer(to string) (sstable.RawWriter, error) {
	f, err := p.memory.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	o := plainOptions()
	return sstable.NewRawWriter(objstorageprovider.NewFileWritable(f), o.MakeWriterOptions(0, PebbleFormat.MaxTableFormat())), nil
}

func (p *patcher) writeEmpty(to string) error {
	w, err := p.writer(to)
	if err != nil {
		return err
	}
	return w.Close()
}

// write makes the sstable of the blocks that can be read, and returns the keys of the others.
func (p *patcher) write(to string) (holes []Hole, err error) {
	var r *sstable.Reader
	defer func() {
		if reason := recover(); reason != nil { // what is damaged may mislead the reader
			err = panicked(reason)
		}
		if r != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	f, err := p.fs.Open(p.from)
	if err != nil {
		return nil, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if r, err = sstable.NewReader(context.Background(), readable, plainOptions().MakeReaderOptions()); err != nil {
		return nil, err // it has closed the file
	}
	if holes, err = p.holes(r); err != nil {
		return nil, err
	}
	w, err := p.writer(to)
	if err != nil {
		return nil, err
	}
	err = p.copyPoints(r, w, holes)
	if err == nil {
		err = copyRangeDels(r, w)
	}
	return holes, errors.Join(err, w.Close())
}

// holes returns the keys of the blocks that cannot be read, in order. Between two blocks the index has a key that is none of the
// second, and not below any of the first.
func (p *patcher) holes(r *sstable.Reader) ([]Hole, error) {
	layout, err := r.Layout()
	if err != nil {
		return nil, err
	}
	var holes []Hole
	lower := p.whole.lower
	for _, handle := range layout.Index {
		if err := p.blocks(r, handle, func(separator []byte, readable bool) {
			upper := after(separator)
			if !readable {
				h := p.whole
				h.lower, h.upper = later(lower, h.lower), earlier(upper, h.upper)
				holes = append(holes, h)
			}
			lower = upper
		}); err != nil {
			return nil, err
		}
	}
	return holes, nil
}

// blocks calls each for every data block that an index block names.
func (p *patcher) blocks(r *sstable.Reader, index block.Handle, each func(separator []byte, readable bool)) error {
	ctx := context.Background()
	none := func(*block.Metadata, []byte) error { return nil }
	data, err := r.BlockReader().Read(ctx, block.NoReadEnv, nil, index, blockkind.Metadata, none)
	if err != nil {
		return err
	}
	defer data.Release()
	var iter colblk.IndexIter
	if err := iter.Init(r.Comparer, data.BlockData(), sstable.NoTransforms); err != nil {
		return err
	}
	for valid := iter.First(); valid; valid = iter.Next() {
		handle, err := iter.BlockHandleWithProperties()
		if err != nil {
			return err
		}
		content, err := r.BlockReader().Read(ctx, block.NoReadEnv, nil, handle.Handle, blockkind.Metadata, none)
		if err == nil {
			content.Release()
		} else if !isBadFile(witness(err)) {
			return err
		}
		each(bytes.Clone(iter.Separator()), err == nil)
	}
	return nil
}

// copyPoints copies what is between the holes.
func (p *patcher) copyPoints(r *sstable.Reader, w sstable.RawWriter, holes []Hole) error {
	begin := p.whole.lower
	for i := 0; i <= len(holes); i++ {
		damagedNext := i < len(holes)
		if err := copyUntil(r, w, begin, damagedNext); err != nil {
			return err
		}
		if damagedNext {
			begin = holes[i].upper
		}
	}
	return nil
}

// copyUntil copies from a key on, to the end, or to the next damaged block.
func copyUntil(r *sstable.Reader, w sstable.RawWriter, begin []byte, damagedNext bool) (err error) {
	iter, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := iter.Close(); !damagedNext {
			err = errors.Join(err, closeErr) // it repeats the error of the damaged block
		}
	}()
	for kv := iter.SeekGE(begin, 0); kv != nil; kv = iter.Next() {
		value, _, err := kv.Value(nil)
		if err != nil {
			return err
		}
		if err := w.Add(kv.K, value, false); err != nil {
			return err
		}
	}
	if damagedNext {
		return nil
	}
	return iter.Error()
}

func copyRangeDels(r *sstable.Reader, w sstable.RawWriter) error {
	iter, err := r.NewRawRangeDelIter(context.Background(), sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil || iter == nil {
		return err
	}
	defer iter.Close()
	for {
		span, err := iter.Next()
		if err != nil || span == nil {
			return err
		}
		if err := w.EncodeSpan(*span); err != nil {
			return err
		}
	}
}

// joinHoles orders the holes, and makes one of those that overlap.
func (r *Remains) joinHoles() {
	slices.SortFunc(r.Holes, func(a, b Hole) int {
		return cmp.Or(bytes.Compare(a.lower, b.lower), bytes.Compare(a.upper, b.upper))
	})
	var joined []Hole
	for _, h := range r.Holes {
		if n := len(joined); n > 0 && bytes.Compare(h.lower, joined[n-1].upper) < 0 {
			joined[n-1].upper = later(joined[n-1].upper, h.upper)
			joined[n-1].newest = max(joined[n-1].newest, h.newest)
			continue
		}
		joined = append(joined, h)
	}
	for i, h := range joined {
		joined[i].Start, joined[i].End = userBound(h.lower), userBound(h.upper)
	}
	r.Holes = joined
}

// userBound returns a key of the database as a user's key. It is empty for a key before or behind all of the user's.
func userBound(key []byte) []byte {
	if len(key) == 0 || key[0] != userPrefix {
		return nil
	}
	return bytes.Clone(key[1:])
}
