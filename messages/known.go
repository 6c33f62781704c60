package messages

import (
	"errors"
	"slices"
)

// Knows tells whether the row could find a figure out.
func (h *TableHealth) Knows(f Figure) bool { return !slices.Contains(h.GetUnknown(), f) }

// Knows tells whether the report could find a figure out, beside those of its tables. No report knows nothing.
func (r *HealthReport) Knows(f Figure) bool { return r != nil && !slices.Contains(r.GetUnknown(), f) }

// Knows tells whether what the figure names could be read of the backup.
func (b *BackupInfo) Knows(f Figure) bool { return !slices.Contains(b.GetUnknown(), f) }

// Faults joins what an answer could not find out to one error, nil where there is nothing.
func Faults(faults []*Failure) error {
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = f
	}
	return errors.Join(errs...)
}
