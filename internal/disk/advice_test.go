package disk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
)

// syncs is a file whose SyncTo returns an error.
type syncs struct {
	vfs.File
	err error
}

func (f syncs) SyncTo(int64) (bool, error) { return false, f.err }

// wrapped is an error of the operating system, as a file system returns it.
func wrapped(errno error) error {
	return fmt.Errorf("try: %w", &os.PathError{Op: "try", Path: "p", Err: errno})
}

func TestAdviceIsNoError(t *testing.T) {
	for errno, advice := range map[error]bool{
		syscall.EOPNOTSUPP: true, syscall.ENOSYS: true, errors.ErrUnsupported: true, syscall.EINTR: true, syscall.EAGAIN: true,
		syscall.EINVAL: true, syscall.ENOTTY: true, syscall.EPERM: true, syscall.ESPIPE: true,
		syscall.EIO: false, syscall.ENOSPC: false, syscall.EROFS: false, syscall.EDQUOT: false,
	} {
		err := wrapped(errno)
		if got := disk.IsAdvice(err); got != advice {
			t.Errorf("%v is advice: %v", errno, got)
		}
		if got := disk.SyncTo(syncs{err: err}, 1); (got == nil) != advice || !advice && !errors.Is(got, errno) {
			t.Errorf("sync to that meets %v = %v", errno, got)
		}
	}
	if disk.IsAdvice(nil) || disk.SyncTo(syncs{}, 1) != nil {
		t.Error("what succeeds is no refusal")
	}
}

func TestWhatAFileSystemLacks(t *testing.T) {
	judges := map[string]func(error) bool{"link": disk.NoLink, "rename": disk.NoRename, "dir sync": disk.NoDirSync}
	lacks := map[error]string{
		syscall.EPERM: "link", syscall.EACCES: "link", syscall.EMLINK: "link", syscall.EXDEV: "link rename",
		syscall.EOPNOTSUPP: "link dir sync", syscall.ENOSYS: "link dir sync", syscall.EINVAL: "link dir sync",
		syscall.EIO: "", syscall.ENOSPC: "", fs.ErrNotExist: "", syscall.EROFS: "",
	}
	if runtime.GOOS == "windows" {
		lacks[syscall.Errno(1)], lacks[syscall.Errno(17)] = "link", "link"
	}
	for errno, want := range lacks {
		got := ""
		for _, name := range []string{"link", "rename", "dir sync"} {
			if judges[name](wrapped(errno)) {
				if got != "" {
					got += " "
				}
				got += name
			}
		}
		if got != want {
			t.Errorf("with %v a file system lacks %q, want %q", errno, got, want)
		}
	}
}
