package main

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// evict drops the files of a directory from the page cache. Their pages have to be on the disk before, so each is synced.
func evict(dir string) error {
	return filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if os.IsNotExist(err) { // by a compaction
			return nil
		}
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := f.Sync(); err != nil {
			return err
		}
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}
