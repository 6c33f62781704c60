package messages

import "slices"

// Knows tells whether the row could find a figure out.
func (h *TableHealth) Knows(f Figure) bool { return !slices.Contains(h.GetUnknown(), f) }

// Knows tells whether the report could find a figure out, beside those of its tables.
func (r *HealthReport) Knows(f Figure) bool { return !slices.Contains(r.GetUnknown(), f) }

// Knows tells whether what the figure names could be read of the backup.
func (b *BackupInfo) Knows(f Figure) bool { return !slices.Contains(b.GetUnknown(), f) }
