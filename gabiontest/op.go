package gabiontest

import (
	"regexp"
	"strings"

	"github.com/gabiondb/gabion/messages"
)

// OpKind is what a call of the disk does.
type OpKind string

// The kinds of calls. Those from OpCreate on change the disk.
const (
	OpOpen   OpKind = "open" // a file for reading, or a directory
	OpRead   OpKind = "read"
	OpList   OpKind = "list"
	OpStat   OpKind = "stat"
	OpCreate OpKind = "create" // also a file opened for writing, or reused
	OpWrite  OpKind = "write"
	OpSync   OpKind = "sync"   // of a file, or of a directory
	OpLink   OpKind = "link"   // Path is the new name
	OpRename OpKind = "rename" // Path is the new name
	OpRemove OpKind = "remove" // also of a directory with all it holds
	OpMkdir  OpKind = "mkdir"
	OpLock   OpKind = "lock"
)

// Changes reports whether calls of the kind change the disk.
func (k OpKind) Changes() bool {
	switch k {
	case OpOpen, OpRead, OpList, OpStat:
		return false
	}
	return true
}

// Op is a call that the disk is about to carry out.
type Op struct {
	// Kind is what the call does.
	Kind OpKind
	// Path is the file, as Gabion names it: below Config.Dir or Config.BackupDir, with slashes.
	Path string
	// Table is the table whose file, or whose backup's, it is. Empty for files of no table, such as sets, and for
	// cuts on their way to a backup.
	Table string
	// Backup tells a file of a backup, complete or not, from one of the table itself.
	Backup bool
}

// backupName is what a backup's directory is named, once it is complete and before.
var backupName = regexp.MustCompile(`^(\d{6,}_|\.pending-)`)

// newOp tells from the path what it is: DIR/tables/TABLE/... or BACKUPDIR/TABLE/000042_TIME/... The last names
// count, as DIR itself may lie below a directory of any name.
func newOp(kind OpKind, path string) Op {
	op := Op{Kind: kind, Path: path}
	names := strings.Split(path, "/")
	for i := len(names) - 1; i > 0; i-- {
		isTable := messages.CheckTableName(names[i]) == nil
		switch {
		case isTable && names[i-1] == "tables":
			op.Table = names[i]
			return op
		case isTable && i+1 < len(names) && backupName.MatchString(names[i+1]):
			op.Table, op.Backup = names[i], true
			return op
		}
	}
	return op
}

// live tells a file of a table itself.
func (op Op) live() bool { return op.Table != "" && !op.Backup }

// retried tells the changes that Pebble repeats without a pause, for as long as they fail.
func (op Op) retried() bool { return op.live() && strings.HasSuffix(op.Path, ".sst") }
