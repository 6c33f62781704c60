package backup

import "testing"

// TestNewerThan: numbers order backups, not their text.
func TestNewerThan(t *testing.T) {
	for _, c := range []struct {
		id, other string
		want      bool
	}{
		{"1000000_2026-01-01T00-00-00Z", "999999_2026-01-02T00-00-00Z", true},
		{"999999_2026-01-02T00-00-00Z", "1000000_2026-01-01T00-00-00Z", false},
		{"000002_2026-01-01T00-00-00Z", "000002_2026-01-01T00-00-00Z", false},
		{"000002_2026-01-01T00-00-00Z", "nothing", false},
	} {
		if got := (Backup{ID: c.id}).NewerThan(c.other); got != c.want {
			t.Errorf("%s is newer than %s: %v", c.id, c.other, got)
		}
	}
}
