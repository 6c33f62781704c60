package store

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// damaged tells whether an error of Pebble is about damage of its files. Of a file that is too short
// Pebble says so in words alone.
func damaged(err error) bool {
	return pebble.IsCorruptionError(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		err != nil && strings.Contains(err.Error(), "object size mismatch")
}

// optionsDamaged tells whether the OPTIONS of the database at path are not those that every table has. Pebble refuses them in
// words alone.
func optionsDamaged(fs vfs.FS, path string) bool {
	desc, err := pebble.Peek(path, fs)
	return err == nil && desc.OptionsFilename != "" && badOptions(fs, desc.OptionsFilename)
}

// badOptions tells whether an OPTIONS file was read, and is not what every table has.
func badOptions(fs vfs.FS, file string) bool {
	data, err := disk.ReadFile(fs, file, optionsLimit)
	if err != nil {
		return false
	}
	o := (&shared{}).pebbleOptions()
	o.EnsureDefaults()
	return o.CheckCompatibility(fs.PathDir(file), string(data)) != nil
}

// checkOptions returns an error where the database at path has OPTIONS that are too long for what they are: Pebble reads them
// as a whole. What cannot be looked at is left to the open.
func checkOptions(fs vfs.FS, path string) error {
	names, err := fs.List(path)
	if err != nil {
		return nil
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "OPTIONS-") {
			continue
		}
		name = fs.PathJoin(path, name)
		if info, err := fs.Stat(name); err == nil && info.Size() > optionsLimit {
			return &disk.LengthError{Path: name, Size: info.Size(), Limit: optionsLimit}
		}
	}
	return nil
}

// witness makes an error of Pebble match messages.ErrDataLoss where it is about damage.
func witness(err error) error {
	if damaged(err) {
		return &damageError{err}
	}
	return err
}

// damageError is an error of Pebble about damage.
type damageError struct{ err error }

// Error is the first line of what Pebble says; what follows repeats it.
func (e *damageError) Error() string {
	first, _, _ := strings.Cut(e.err.Error(), "\n")
	return first + ": " + messages.ErrDataLoss.Error()
}

func (e *damageError) Unwrap() []error { return []error{e.err, messages.ErrDataLoss} }

// readError says of an error that a read met what it is about. The files that a frozen store wrote last are
// not on the disk, which looks like damage and is none.
func (s *Store) readError(err error) error {
	if err != nil && s.Frozen() {
		return fmt.Errorf("%w: %w", ErrFrozen, err)
	}
	// Pebble tells by itself of a block whose checksum is wrong, but of none that the disk does not give.
	if Unreadable(err) && s.onCorruption != nil {
		s.onCorruption(fmt.Errorf("block cannot be read: %w", err))
	}
	return witness(err)
}
