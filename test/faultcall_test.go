package test

import (
	"path"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The kinds of files that the matrix breaks, of one table or of the host.
const (
	walFile       = "WAL"
	manifestFile  = "MANIFEST"
	sstableFile   = "sstable"
	optionsFile   = "OPTIONS"
	markerFile    = "marker"
	currentFile   = "current" // with the table's directory, which holds it
	highWaterFile = "high-water"
	lineageDir    = "directory" // the lineage's
	lockFile      = "LOCK"      // Pebble's
	holdFile      = "hold"      // the locks of both directories, who holds them, whose they are, and where they are
	stagingFile   = "staging"
	backupFile    = "backup" // copies of the table's files, and their directories
	manifestJSON  = "manifest.json"
	setFile       = "set"
	dirsFile      = "backup dirs" // what the directory knows of its backup directories
	lastRunFile   = "last run"    // what the backup directory says of who used it
)

var fileKinds = []string{walFile, manifestFile, sstableFile, optionsFile, markerFile, currentFile, highWaterFile, lineageDir,
	lockFile, holdFile, stagingFile, backupFile, manifestJSON, setFile, dirsFile, lastRunFile}

// ofTable tells the files that an open store has.
func ofTable(file string) bool {
	return slices.Contains([]string{walFile, manifestFile, sstableFile, optionsFile, markerFile, highWaterFile, lineageDir, lockFile}, file)
}

// The kinds of calls. A read is whatever changes nothing: of content, names and sizes.
const (
	createOp = "create"
	writeOp  = "write"
	syncOp   = "sync"
	renameOp = "rename"
	linkOp   = "link"
	removeOp = "remove"
	mkdirOp  = "mkdir"
	lockOp   = "lock"
	readOp   = "read"
)

var callKinds = []string{createOp, writeOp, syncOp, renameOp, linkOp, removeOp, mkdirOp, lockOp, readOp}

// The phases of a table's life in which a fault comes.
const (
	openPhase       = "open"       // of a table whose WAL is to be replayed
	commitPhase     = "commit"     // without a flush
	flushPhase      = "flush"      // of a full memtable, with a new WAL
	compactionPhase = "compaction" // from its first file on
	cutPhase        = "cut"        // from the request of a run on, with the flush before it
	publishPhase    = "publish"    // from the first pending file on, with the set
	prunePhase      = "prune"      // from the first removal of a backup on
	closePhase      = "close"
	createPhase     = "create" // of a table: the one time that current is written
)

// beforeCompaction is what fills memtables until a compaction begins; nothing is counted in it.
const beforeCompaction = "before " + compactionPhase

var phases = []string{openPhase, commitPhase, flushPhase, compactionPhase, cutPhase, publishPhase, prunePhase, closePhase, createPhase}

// compactionWrite is how Pebble marks the files that a compaction writes.
const compactionWrite vfs.DiskWriteCategory = "pebble-compaction"

const matrixDir = "/g"

// fileKind tells what a path is to a table; "" is nothing of the table's or the host's that the matrix breaks.
func fileKind(table, name, op string) string {
	inside := func(dir string) (rest string, ok bool) {
		if name == dir {
			return "", true
		}
		return strings.CutPrefix(name, dir+"/")
	}
	if rest, ok := inside(matrixDir + "/tables/" + table); ok {
		return tableFileKind(rest)
	}
	if rest, ok := inside(matrixDir + "/staging"); ok {
		// What is above the table's own is every table's; the end of the run removes it.
		run, below, _ := strings.Cut(rest, "/")
		if below == table || strings.HasPrefix(below, table+"/") || run != "" && below == "" && op == removeOp {
			return stagingFile
		}
		return ""
	}
	if _, ok := inside(matrixDir + "/backups/sets"); ok {
		return setFile
	}
	switch strings.TrimSuffix(name, ".aside") {
	case matrixDir + "/backup_dirs.json":
		return dirsFile
	case matrixDir + "/backups/last_run.json":
		return lastRunFile
	}
	if _, ok := inside(matrixDir + "/backups/" + table); ok {
		if base := path.Base(name); base == "manifest.json" || base == "manifest.sha256" {
			return manifestJSON
		}
		return backupFile
	}
	for _, dir := range []string{matrixDir, matrixDir + "/backups"} {
		if rest, _ := inside(dir); rest == "LOCK" || rest == "owner.json" || rest == "gabion.json" || name == dir && op == readOp {
			return holdFile
		}
	}
	return ""
}

// tableFileKind is fileKind of what lies in a table's directory.
func tableFileKind(rest string) string {
	dir, base, deep := strings.Cut(rest, "/")
	switch {
	case !deep && strings.HasSuffix(dir, ".mark"):
		return highWaterFile
	case !deep && len(dir) == len("01ARZ3NDEKTSV4RRFFQ69G5FAV"):
		return lineageDir
	case !deep:
		return currentFile
	case strings.HasSuffix(base, ".log"):
		return walFile
	case strings.HasPrefix(base, "MANIFEST-"):
		return manifestFile
	case strings.HasPrefix(base, "marker."):
		return markerFile
	case strings.HasSuffix(base, ".sst"), strings.HasSuffix(base, ".blob"):
		return sstableFile
	case strings.HasPrefix(base, "OPTIONS-"), strings.HasPrefix(base, "temporary."):
		return optionsFile
	case base == "LOCK":
		return lockFile
	}
	return "unknown: " + base
}

// diskCall is one call of the file system.
type diskCall struct{ file, op, phase string }
