package backup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// pebbleLock is Pebble's own lock file; it belongs to no cut.
const pebbleLock = "LOCK"

// publication is one Publish. Used by one goroutine.
type publication struct {
	d        *Directory
	fs       vfs.FS
	cut      Cut
	progress func(int64)

	base  Backup                         // links come from here; without ID when there is none
	known map[string]*messages.FileEntry // base's files by name

	dir, pending, final, id string
	number                  uint64
	renaming                bool // the final name may exist

	copier        *copier
	files         []*messages.FileEntry
	bytes, copied int64
}

// source returns the path of a file of the cut.
func (p *publication) source(name string) string {
	if path, ok := p.cut.Lent[name]; ok {
		return path
	}
	return p.fs.PathJoin(p.cut.Staging, name)
}

// staged returns the names of the cut's files, sorted. A cut that is no checkpoint is refused.
func (p *publication) staged() ([]string, error) {
	names, err := p.fs.List(p.cut.Staging)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", p.cut.Staging, err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == pebbleLock })
	names = slices.AppendSeq(names, maps.Keys(p.cut.Lent))
	slices.Sort(names)
	if err := store.CheckCheckpoint(names); err != nil {
		return nil, fmt.Errorf("check %s: %w", p.cut.Staging, err)
	}
	return names, nil
}

// isImmutable tells whether Pebble writes the file once and never again, so that the same file of the
// live table, unchanged, has the same bytes.
func isImmutable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// sight is what a staged file looks like from outside.
type sight struct {
	size     int64
	mtime    time.Time
	identity *messages.FileIdentity // nil where the file system knows none
}

func (s sight) equal(other sight) bool {
	return s.size == other.size && s.mtime.Equal(other.mtime) && proto.Equal(s.identity, other.identity)
}

func look(fs vfs.FS, path string) (sight, error) {
	info, err := fs.Stat(path)
	if err != nil {
		return sight{}, fmt.Errorf("stat %s: %w", path, err)
	}
	if info.IsDir() {
		return sight{}, fmt.Errorf("check %s: it is a directory", path)
	}
	identity, err := store.Identify(fs, path)
	if err != nil {
		return sight{}, fmt.Errorf("identify %s: %w", path, err)
	}
	return sight{size: info.Size(), mtime: info.ModTime(), identity: identity}, nil
}

// take brings one staged file into the backup.
func (p *publication) take(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	before, err := look(p.fs, p.source(name))
	if err != nil {
		return err
	}
	entry := p.link(name, before)
	if entry == nil {
		if entry, err = p.copy(ctx, name, before); err != nil {
			return err
		}
		p.copied += entry.GetSize()
	}
	p.files = append(p.files, entry)
	p.bytes += entry.GetSize()
	p.progress(0)
	return nil
}

// link links the file from the base backup, never from the staging, whose inodes are the live table's.
// It returns nil when the file has to be copied. The linked file needs no fsync: it was durable before
// its own backup was complete, and the new name becomes so with its directory.
func (p *publication) link(name string, staged sight) *messages.FileEntry {
	entry := p.held(name, staged)
	if entry == nil {
		return nil
	}
	if err := p.d.checkSize(p.base, entry); err != nil {
		p.d.log.Warn("refuse to link from backup", "table", p.cut.Table, "backup_id", p.base.ID, "error", err)
		return nil
	}
	from := p.fs.PathJoin(p.base.Path, dbDir, name)
	if err := p.fs.Link(from, p.fs.PathJoin(p.pending, dbDir, name)); err != nil {
		// Where no file can be linked, one line says enough.
		if !disk.NoLink(err) || !p.d.told.Swap(true) {
			p.d.log.Warn("copy instead of link", "path", from, "error", err)
		}
		return nil
	}
	return entry
}

// held returns the entry of a staged file that the base backup holds already, nil when it does not.
func (p *publication) held(name string, staged sight) *messages.FileEntry {
	entry := p.known[name]
	if p.d.unlinked.Load() || entry == nil || !isImmutable(name) || staged.identity == nil ||
		!proto.Equal(entry.GetLive(), staged.identity) || entry.GetSize() != staged.size {
		return nil
	}
	return entry
}

// checkRoom returns an error when the files that have to be copied would leave too little room: a disk that a backup
// fills may be the tables' own.
func (p *publication) checkRoom(names []string) error {
	room, known, err := store.RoomAt(p.fs, p.d.path, p.d.minFree)
	if err != nil || !known {
		return err
	}
	var need uint64
	for _, name := range names {
		staged, err := look(p.fs, p.source(name))
		if err != nil {
			return err
		}
		if p.held(name, staged) == nil {
			need += uint64(staged.size)
		}
	}
	if room.Free >= need+room.Reserve {
		return nil
	}
	return messages.WithHint(fmt.Errorf("%d MiB are to be copied, the disk has %d MiB free, and %d MiB must stay free: %w",
		need>>20, room.Free>>20, room.Reserve>>20, messages.ErrExhausted),
		"free some space on the disk of the backups, keep fewer of them, or name another directory for them")
}

// copy copies the file, hashes it as it passes, and refuses one that changed meanwhile.
func (p *publication) copy(ctx context.Context, name string, before sight) (*messages.FileEntry, error) {
	from := p.source(name)
	size, hash, err := p.copier.copy(ctx, from, p.fs.PathJoin(p.pending, dbDir, name), before.size)
	if err != nil {
		return nil, fmt.Errorf("copy %s: %w", from, err)
	}
	after, err := look(p.fs, from)
	if err != nil {
		return nil, err
	}
	if size != before.size || !after.equal(before) {
		return nil, fmt.Errorf("copy %s: it changed while it was copied: %d B before, %d B copied, %d B after",
			from, before.size, size, after.size)
	}
	entry := &messages.FileEntry{Name: name, Size: size, Sha256: hash}
	if isImmutable(name) {
		entry.Live = before.identity // any other file is a copy already, not the live table's own
	}
	return entry, nil
}
