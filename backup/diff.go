package backup

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/gabiondb/gabion/messages"
)

// Change is one row in which two tables differ. Old is nil for a row that was added, New for one that was removed.
type Change struct {
	Key      []byte
	Old, New *messages.Entry
}

// Difference counts the rows in which two tables differ.
type Difference struct {
	Added, Changed, Removed uint64
	// Same counts the rows that are equal.
	Same uint64
}

// Empty tells whether the tables are equal.
func (d Difference) Empty() bool { return d.Added == 0 && d.Changed == 0 && d.Removed == 0 }

// Rows are the rows of a table, in the order of their keys. An error ends them.
type Rows = iter.Seq2[*messages.Entry, error]

// Diff compares the rows of from with those of to, and calls each, unless nil, with every row that differs, in the order of
// the keys, on the calling goroutine; an error that it returns ends the comparison. Both are read once, side by side.
func Diff(from, to Rows, each func(Change) error) (Difference, error) {
	if each == nil {
		each = func(Change) error { return nil }
	}
	var diff Difference
	left, stopLeft := iter.Pull2(from)
	defer stopLeft()
	right, stopRight := iter.Pull2(to)
	defer stopRight()
	a, err := advance(left)
	if err != nil {
		return diff, err
	}
	b, err := advance(right)
	if err != nil {
		return diff, err
	}
	for a != nil || b != nil {
		var change *Change
		order := compare(a, b)
		switch {
		case order < 0:
			diff.Removed++
			change = &Change{Key: a.GetKey(), Old: a}
		case order > 0:
			diff.Added++
			change = &Change{Key: b.GetKey(), New: b}
		case bytes.Equal(a.GetValue(), b.GetValue()):
			diff.Same++
		default:
			diff.Changed++
			change = &Change{Key: a.GetKey(), Old: a, New: b}
		}
		if change != nil {
			if err := each(*change); err != nil {
				return diff, err
			}
		}
		if order <= 0 {
			if a, err = advance(left); err != nil {
				return diff, err
			}
		}
		if order >= 0 {
			if b, err = advance(right); err != nil {
				return diff, err
			}
		}
	}
	return diff, nil
}

// compare orders two rows by their keys; what has ended comes after every row.
func compare(a, b *messages.Entry) int {
	switch {
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return bytes.Compare(a.GetKey(), b.GetKey())
}

// advance returns the next row, nil at the end.
func advance(next func() (*messages.Entry, error, bool)) (*messages.Entry, error) {
	row, err, ok := next()
	if err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	if !ok {
		return nil, nil
	}
	return row, nil
}
