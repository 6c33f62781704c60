// Package store keeps one table on disk: it opens, commits, reads, cuts and closes, and
// freezes when its disk fails. It knows no actor, and no backup.
//
// A Directory is one Gabion's DIR, locked; a Store is one table's open lineage in it. Every
// file operation goes through the vfs.FS given to OpenDirectory, so that crashes and faults can
// be tested; nothing else touches a disk.
//
// One goroutine at a time may commit to a Store (the committer); reads may come from any number
// of goroutines beside it.
package store
