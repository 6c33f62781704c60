package store

import (
	"cmp"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// PebbleFormat is the Pebble format of every table. It is pinned: a ratchet is one-way, so an upgrade of Pebble
// must not raise it by itself.
const PebbleFormat = pebble.FormatValueSeparation

// Comparer names the order of the keys, that of their bytes.
const Comparer = "leveldb.BytewiseComparator"

const (
	defaultCacheBytes    = 64 << 20
	defaultMemTableBytes = 4 << 20
	defaultCompactions   = 2
	defaultFreezeAfter   = 30 * time.Second
	// fileCacheSize is how many sstables all tables together keep open. Beside them each table
	// has about eight descriptors of its own; see CheckDescriptors.
	fileCacheSize = 1024
	// manifestBytes is the length at which Pebble begins a new MANIFEST, with the sstables of that moment and no history.
	// Each cut copies the MANIFEST while commits wait, with 32 KiB of garbage for each record, and each open replays it.
	manifestBytes = 16 << 10
)

// shared is what the tables of one directory have in common, so that a thousand of them cost no more
// memory, descriptors and compactions than ten.
type shared struct {
	cache    *pebble.Cache
	files    *pebble.FileCache
	limiter  *limiter
	memTable uint64
}

func newShared(o DirectoryOptions) *shared {
	s := &shared{
		cache:    pebble.NewCache(cmp.Or(o.CacheBytes, defaultCacheBytes)),
		files:    pebble.NewFileCache(runtime.GOMAXPROCS(0), fileCacheSize),
		memTable: cmp.Or(o.MemTableBytes, defaultMemTableBytes),
	}
	if !o.ReadOnly {
		s.limiter = newLimiter(cmp.Or(o.Compactions, defaultCompactions))
	}
	return s
}

// close returns what Pebble panics with where a read of it that panicked still holds a file.
func (s *shared) close() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicked(r)
		}
	}()
	if s.limiter != nil {
		s.limiter.close()
	}
	s.files.Unref()
	s.cache.Unref()
	return nil
}

// pebbleOptions are the options of one table's database. The listener is made anew for each: Pebble
// changes the value it is given.
func (s *shared) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		Cache:                       s.cache,
		FileCache:                   s.files,
		FormatMajorVersion:          PebbleFormat,
		MemTableSize:                s.memTable,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               64 << 20,
		MaxManifestFileSize:         manifestBytes,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
	}
	for i := range o.Levels {
		// On every level, or iterators with UseL6Filters have nothing to use.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	if s.limiter != nil {
		o.Experimental.CompactionScheduler = s.limiter.scheduler()
	}
	return o
}
