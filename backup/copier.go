package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
)

const (
	// copyBuffer is how much is read, hashed and written at a time, and so the longest stretch of a
	// copy that neither reports progress nor looks at its context.
	copyBuffer = 1 << 20
	// syncStride is how much of a copy may be dirty in the kernel. Without a bound the copy's final
	// fsync takes seconds, and the live tables' fsyncs wait for it in the file system's journal.
	syncStride = 4 << 20
)

// copier reads files through, hashes them, and copies them. Used by one goroutine.
type copier struct {
	fs vfs.FS
	// progress is called with the bytes of each buffer, before the context is looked at.
	progress func(bytes int64)
	buffer   []byte
}

// hash returns a file's size and SHA-256. One of more than most bytes is not read on, and has no sum.
func (c *copier) hash(ctx context.Context, path string, most int64) (size int64, sum string, err error) {
	return c.read(ctx, path, most, func([]byte) error { return nil })
}

// targetError is an error of the file that a copy goes to. It says nothing about the one that is copied.
type targetError struct{ err error }

func (e *targetError) Error() string { return e.err.Error() }

func (e *targetError) Unwrap() error { return e.err }

func ofTarget(err error) error {
	if err == nil {
		return nil
	}
	return &targetError{err}
}

// copy makes the file at to a copy of that at from, fsynced, and returns its size and SHA-256. The new name is durable only
// with its directory's fsync. Of a file of more than most bytes the copy is not whole, and has no sum.
func (c *copier) copy(ctx context.Context, from, to string, most int64) (size int64, sum string, err error) {
	dst, err := c.fs.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, "", ofTarget(err)
	}
	defer func() { err = errors.Join(err, ofTarget(dst.Close())) }()
	written, synced := int64(0), int64(0)
	size, sum, err = c.read(ctx, from, most, func(p []byte) error {
		if written-synced >= syncStride {
			if err := disk.SyncTo(dst, written); err != nil {
				return ofTarget(err)
			}
			synced = written
		}
		n, err := dst.Write(p)
		written += int64(n)
		return ofTarget(err)
	})
	if err != nil {
		return 0, "", err
	}
	if err := dst.Sync(); err != nil {
		return 0, "", ofTarget(err)
	}
	return size, sum, nil
}

// copyAsIs is copy of a file of which nothing is known but what it has now.
func (c *copier) copyAsIs(ctx context.Context, from, to string) error {
	info, err := c.fs.Stat(from)
	if err != nil {
		return err
	}
	size, _, err := c.copy(ctx, from, to, info.Size())
	if err == nil && size != info.Size() {
		err = fmt.Errorf("copy %s: it has %d B, and had %d B before", from, size, info.Size())
	}
	return err
}

// read hands a file to each, a buffer at a time, and returns its size and SHA-256. It ends where it has met more than most
// bytes, without a sum: a file that has grown may have no end.
func (c *copier) read(ctx context.Context, path string, most int64, each func(p []byte) error) (size int64, sum string, err error) {
	src, err := c.fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if c.buffer == nil {
		c.buffer = make([]byte, copyBuffer)
	}
	info, err := src.Stat()
	if err != nil {
		return 0, "", err
	}
	if info.Size() > most {
		return info.Size(), "", nil
	}
	h := sha256.New()
	for {
		if size > most {
			return size, "", nil
		}
		if err := ctx.Err(); err != nil {
			return 0, "", err
		}
		n, err := src.Read(c.buffer)
		if n > 0 {
			// Hashed first: each may scribble over the buffer.
			h.Write(c.buffer[:n])
			if err := each(c.buffer[:n]); err != nil {
				return 0, "", err
			}
			size += int64(n)
			c.progress(int64(n))
		}
		if errors.Is(err, io.EOF) {
			return size, hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return 0, "", err
		}
	}
}
