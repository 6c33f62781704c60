package store

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"
)

// Usage is what a table costs on disk.
type Usage struct {
	// DiskBytes is what the table's files occupy: sstables, WAL and MANIFEST, also those that wait for
	// their removal.
	DiskBytes uint64
	// Fragmentation is the share of the sstables' bytes that is not live data, in [0,1]. Nil while Pebble
	// loads its statistics, and of a table at_cut, whose live bytes are not known.
	Fragmentation *float64
}

// rowOverhead is what Pebble counts for each key beside its own bytes: the trailer, and our prefix.
const rowOverhead = 8 + 1

// Usage measures the table. It takes Pebble's locks, so it may wait for a slow disk.
//
// The share of live data is estimated as that of the live rows' bytes, which the record knows exactly, in the
// bytes of all versions that the sstables hold; rows in the memtable alone make it a little high.
func (s *Store) Usage() (Usage, error) {
	if !s.handle.enter() {
		return Usage{}, ErrClosed
	}
	defer s.handle.leave()
	metrics := s.db.Metrics()
	usage := Usage{DiskBytes: metrics.DiskSpaceUsage()}
	known := metrics.Table.InitialStatsCollectionComplete && metrics.Table.PendingStatsCollectionCount == 0
	var options []pebble.SSTablesOption
	if s.fs == nil {
		// A read-only Pebble never loads its statistics; the tables' own properties cost a read each.
		options, known = append(options, pebble.WithProperties()), true
	}
	levels, err := s.db.SSTables(options...)
	if err != nil {
		return Usage{}, fmt.Errorf("list sstables: %w", s.readError(err))
	}
	var size, raw uint64
	for _, level := range levels {
		for _, t := range level {
			size += t.Size
			if t.Properties != nil {
				raw += t.Properties.RawKeySize + t.Properties.RawValueSize
			} else {
				raw += t.TableStats.RawKeySize + t.TableStats.RawValueSize
			}
		}
	}
	record := s.Record()
	if known && !isAtCut(record) {
		blobs := metrics.BlobFiles
		live := size + blobs.LiveSize
		dead := metrics.Table.ZombieSize + metrics.Table.ObsoleteSize + blobs.ZombieSize + blobs.ObsoleteSize
		// The record itself is live data, of an empty table the only one.
		own := uint64(len(recordKey) + proto.Size(record) + rowOverhead)
		fragmentation := fragmentation(live, dead, raw, own+record.GetCount()*rowOverhead+record.GetLiveBytes())
		usage.Fragmentation = &fragmentation
	}
	return usage, nil
}

// fragmentation is the share of live+dead bytes on disk that does not hold live data: of the live files' bytes
// the part wanted/raw does, of the dead ones' none. It is 0 for a table without sstables.
func fragmentation(live, dead, raw, wanted uint64) float64 {
	if live+dead == 0 {
		return 0
	}
	share := 1.0
	if raw > 0 {
		share = min(1, float64(wanted)/float64(raw))
	}
	return 1 - float64(live)*share/float64(live+dead)
}
