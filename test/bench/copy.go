package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// copyDir copies the files of a directory, and fsyncs each.
func copyDir(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(to) }()
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// copyBytes is how long a copy of so many bytes takes, in seconds: of the sstables in a directory.
func copyBytes(dir string, n int64) (seconds float64, err error) {
	var took time.Duration
	err = filepath.WalkDir(filepath.Join(dir, "backups"), func(path string, e os.DirEntry, err error) error {
		if err != nil || n <= 0 || !strings.HasSuffix(path, ".sst") {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		began, to := time.Now(), filepath.Join(dir, "copied")
		if err := copyFile(path, to); err != nil {
			return err
		}
		took += time.Since(began)
		n -= info.Size()
		return os.Remove(to)
	})
	return took.Seconds(), err
}
