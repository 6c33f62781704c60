// Package backup keeps the complete, independent copies of tables: it publishes a cut as a
// backup, lists backups and sets, carries unchanged tables forward, and decides by retention
// which backups go. It knows no actor.
//
// A Directory is one BACKUPDIR, locked:
//
//	BACKUPDIR/gabion.json                        whose backups these are
//	BACKUPDIR/NAME/000042_2026-02-11T14-30-00Z/  one complete backup of table NAME
//	    manifest.json, manifest.sha256           what it holds, and the hash of that
//	    db/                                      a Pebble directory of its own
//	BACKUPDIR/NAME/.pending-*                    unfinished, or being removed; swept by Open and Retain
//	BACKUPDIR/sets/RUNID.json                    what one run produced for all its tables
//
// The rule that everything here serves: a name without .pending- is a complete backup, always,
// whatever crash happens when. So a backup is built and taken apart only under a .pending- name.
//
// A backup shares no file with the live table. It may share sstables with older backups of the
// same lineage, by hard links, so that it costs only what changed and is deleted by removing it.
//
// Every file operation goes through the vfs.FS given to Open. All methods of a Directory may be
// called from any number of goroutines.
package backup
