package disk

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// LengthError says that a file is longer than what is read of such a file. It matches messages.ErrDataLoss.
type LengthError struct {
	// Path is the file.
	Path string
	// Size is how many bytes it has, as far as is known, and Limit how many it may have.
	Size, Limit int64
}

func (e *LengthError) Error() string {
	return fmt.Sprintf("read %s: it has %d B or more, no file of its kind has more than %d B", e.Path, e.Size, e.Limit)
}

// Is matches messages.ErrDataLoss.
func (e *LengthError) Is(target error) bool { return target == messages.ErrDataLoss }

// GetHint says what to do about it, for messages.Hints.
func (e *LengthError) GetHint() string {
	return "Gabion did not write the file like that: put it back as it was, from a copy, or remove it where docs/format.md calls it a cache"
}

// ReadFile returns the whole content of the file at path. A file of more than limit bytes is a LengthError, and is not
// read. The error of a missing file matches os.ErrNotExist; what is no regular file is a KindError.
func ReadFile(fs vfs.FS, path string, limit int64) ([]byte, error) {
	return read(fs, path, func(f vfs.File, size int64) ([]byte, error) {
		if size > limit {
			return nil, &LengthError{Path: path, Size: size, Limit: limit}
		}
		data, err := io.ReadAll(io.LimitReader(f, limit+1))
		if err == nil && int64(len(data)) > limit {
			err = &LengthError{Path: path, Size: int64(len(data)), Limit: limit}
		}
		return data, err
	})
}

// ReadHead is ReadFile that leaves unread what comes after the first limit bytes.
func ReadHead(fs vfs.FS, path string, limit int64) ([]byte, error) {
	return read(fs, path, func(f vfs.File, _ int64) ([]byte, error) { return io.ReadAll(io.LimitReader(f, limit)) })
}

func read(fs vfs.FS, path string, content func(f vfs.File, size int64) ([]byte, error)) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := func() ([]byte, error) {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if err := notFile(path, info.Mode()); err != nil {
			return nil, err
		}
		return content(f, info.Size())
	}()
	err = errors.Join(err, f.Close())
	var long *LengthError
	switch {
	case err == nil:
		return data, nil
	case errors.As(err, &long): // names its path
		return nil, err
	}
	return nil, fmt.Errorf("read %s: %w", path, err)
}
