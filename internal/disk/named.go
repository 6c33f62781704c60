package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/gabiondb/gabion/messages"
)

// ReadNamed returns the content of a file that a person names: a configuration, a token, a certificate. Links to it are
// followed, as orchestrators mount such files by links. The null device is empty. Anything else that is no regular file
// is a KindError, and ReadNamed waits for no writer. A file of more than limit bytes matches messages.ErrInvalid, and is
// not read.
func ReadNamed(path string, limit int64) ([]byte, error) {
	f, err := openNamed(path)
	if err != nil {
		return nil, err
	}
	data, err := func() ([]byte, error) {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if null, err := os.Stat(os.DevNull); err == nil && os.SameFile(info, null) {
			return nil, nil
		}
		if err := notFile(path, info.Mode()); err != nil {
			return nil, err
		}
		if info.Size() > limit {
			return nil, tooLong(info.Size(), limit)
		}
		data, err := io.ReadAll(io.LimitReader(f, limit+1))
		if err == nil && int64(len(data)) > limit {
			err = tooLong(int64(len(data)), limit)
		}
		return data, err
	}()
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return data, nil
}

func tooLong(size, limit int64) error {
	return messages.WithHint(fmt.Errorf("file has %d B, maximum is %d B: %w", size, limit, messages.ErrInvalid),
		"name another file: this one cannot be what it is named for")
}

// StatNamed describes the file that ReadNamed would read.
func StatNamed(path string) (fs.FileInfo, error) { return os.Stat(path) }
