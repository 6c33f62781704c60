package backup

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// damage is what makes a backup red.
type damage struct {
	file string // relative to the backup's directory; "" where no single one is wrong
	err  error
}

func (e *damage) Error() string {
	if e.file == "" {
		return e.err.Error()
	}
	return e.file + ": " + e.err.Error()
}

func (e *damage) Unwrap() error { return e.err }

// Is matches messages.ErrDataLoss.
func (e *damage) Is(target error) bool { return target == messages.ErrDataLoss }

func damaged(file, format string, args ...any) error {
	return &damage{file: file, err: fmt.Errorf(format, args...)}
}

// faulty makes a damage of the fault of a manifest that is not what it was. A fault of another kind, such as too many open
// files, is no witness of the backup, and is returned as it is.
func (b Backup) faulty() error {
	switch {
	case b.Fault == nil:
		return nil
	case errors.Is(b.Fault, messages.ErrDataLoss) && !tooLong(b.Fault):
		return &damage{file: manifestFile, err: b.Fault}
	case !tooLong(b.Fault) && !store.WrongKind(b.Fault) && !store.Unreadable(b.Fault) && !errors.Is(b.Fault, os.ErrNotExist):
		return b.Fault
	case b.Manifest != nil: // it was read, so it is its hash that was not
		return &damage{file: hashFile, err: b.Fault}
	}
	return &damage{file: manifestFile, err: b.Fault}
}

func tooLong(err error) bool {
	var long *disk.LengthError
	return errors.As(err, &long)
}

// noFile says what stands in a file's place.
func noFile(err error) error {
	var kind *disk.KindError
	if errors.As(err, &kind) {
		return fmt.Errorf("it is a %s", kind.Found)
	}
	return errors.New("it is a directory")
}

// noDirectory says what stands in a directory's place.
func noDirectory(err error) error {
	var kind *disk.KindError
	if errors.As(err, &kind) {
		return fmt.Errorf("it is a %s", kind.Found)
	}
	return errors.New("it is no directory")
}

// lost makes a damage of an error about damaged data, and leaves any other.
func lost(err error) error {
	if errors.Is(err, messages.ErrDataLoss) && !errors.Is(err, store.ErrNewer) || store.Unreadable(err) {
		found := &damage{err: err}
		if file := new(store.FileError); errors.As(err, &file) {
			found.file = dbDir + "/" + file.Path[strings.LastIndexAny(file.Path, `/\`)+1:]
		}
		return found
	}
	return err
}

// short is enough of a hash for a person to tell two apart.
func short(sum string) string {
	if len(sum) > 12 {
		return sum[:12] + "…"
	}
	return sum
}

// entry returns what the manifest says of a file, by its path in the backup; nil where it says nothing.
func (b Backup) entry(file string) *messages.FileEntry {
	for _, entry := range b.Manifest.GetFiles() {
		if dbDir+"/"+entry.GetName() == file {
			return entry
		}
	}
	return nil
}
