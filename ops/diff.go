package ops

import (
	"bytes"
	"context"
	"errors"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// Change is one row in which two tables differ. See backup.Change.
type Change = backup.Change

// Difference counts the rows in which two tables differ.
type Difference = backup.Difference

// Diff compares the rows of two tables or backups, each as of one instant. See backup.Diff.
func Diff(ctx context.Context, from, to ReadAccess, each func(Change) error) (Difference, error) {
	return backup.Diff(rows(ctx, from), rows(ctx, to), each)
}

var errEnough = errors.New("enough rows")

// rows are all rows of a table.
func rows(ctx context.Context, r ReadAccess) backup.Rows {
	return func(yield func(*messages.Entry, error) bool) {
		err := r.Walk(ctx, nil, func(key, value []byte) error {
			if !yield(&messages.Entry{Key: bytes.Clone(key), Value: bytes.Clone(value)}, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}
