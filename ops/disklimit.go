package ops

import (
	"errors"
	"fmt"
	"time"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// DiskLimit is how long a look at a disk may take before a command or a start gives it up.
const DiskLimit = 10 * time.Second

// Asked is the answer of a disk that may hang.
type Asked struct {
	path   string
	answer chan error
}

// AskDisk calls ask, which looks at path, on a goroutine of its own. One that hangs is left behind until the disk answers.
func AskDisk(path string, ask func() error) *Asked {
	a := &Asked{path: path, answer: make(chan error, 1)}
	go func() { a.answer <- ask() }()
	return a
}

// Within returns what ask returned. After limit it returns an error that names the path and matches messages.ErrDeadline; a
// later call may still get the answer. Only one call gets it.
func (a *Asked) Within(limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-a.answer:
		return err
	case <-timer.C:
		return messages.WithHint(fmt.Errorf("look at %s: no answer in %v: %w", a.path, limit, messages.ErrDeadline),
			"the disk hangs: check its mount, or the server that exports it")
	}
}

// within is AskDisk and Within, for ask that returns a value.
func within[T any](limit time.Duration, path string, ask func() (T, error)) (T, error) {
	values := make(chan T, 1)
	err := AskDisk(path, func() error {
		value, err := ask()
		values <- value
		return err
	}).Within(limit)
	select {
	case value := <-values:
		return value, err
	default:
		var none T
		return none, err
	}
}

// readNamed is disk.ReadNamed that gives up after DiskLimit.
func readNamed(path string, limit int64) ([]byte, error) {
	return within(DiskLimit, path, func() ([]byte, error) { return disk.ReadNamed(path, limit) })
}

// checkUsers is check, CheckUser or CheckReader, of each directory that is named, within DiskLimit.
func checkUsers(check func(dir string) error, dirs ...string) error {
	var errs []error
	for _, dir := range dirs {
		if dir != "" {
			errs = append(errs, AskDisk(dir, func() error { return check(dir) }).Within(DiskLimit))
		}
	}
	return errors.Join(errs...)
}
