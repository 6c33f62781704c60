package backup_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// rowsFrom yields a map's rows, and then an error, unless it is nil. It counts how often it was ended.
func rowsFrom(rows map[string]string, failure error, ended *int) backup.Rows {
	return func(yield func(*messages.Entry, error) bool) {
		defer func() { *ended++ }()
		for _, key := range slices.Sorted(maps.Keys(rows)) {
			if !yield(&messages.Entry{Key: []byte(key), Value: []byte(rows[key])}, nil) {
				return
			}
		}
		if failure != nil {
			yield(nil, failure)
		}
	}
}

// TestDiffIsThatOfMaps compares Diff with what maps say, and applies the changes.
func TestDiffIsThatOfMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := rapid.MapOf(rapid.StringMatching(`[abc\x00]{1,3}`), rapid.StringMatching(`[xy]{0,2}`))
		from, to := table.Draw(t, "from"), table.Draw(t, "to")
		ended := 0
		var want backup.Difference
		for key, value := range from {
			switch now, ok := to[key]; {
			case !ok:
				want.Removed++
			case now != value:
				want.Changed++
			default:
				want.Same++
			}
		}
		want.Added = uint64(len(to)) - want.Changed - want.Same
		applied := maps.Clone(from)
		var last []byte
		got, err := backup.Diff(rowsFrom(from, nil, &ended), rowsFrom(to, nil, &ended), func(c backup.Change) error {
			key := string(c.Key)
			if last != nil && bytes.Compare(last, c.Key) >= 0 {
				t.Errorf("key %q after %q", key, last)
			}
			last = c.Key
			if c.Old == nil && c.New == nil {
				t.Errorf("key %q neither was nor is", key)
			}
			if was, ok := applied[key]; ok != (c.Old != nil) || was != string(c.Old.GetValue()) {
				t.Errorf("key %q was %v, is said to be %v", key, was, c.Old)
			}
			delete(applied, key)
			if c.New != nil {
				applied[key] = string(c.New.GetValue())
			}
			return nil
		})
		if err != nil || got != want || !maps.Equal(applied, to) || got.Empty() != maps.Equal(from, to) || ended != 2 {
			t.Errorf("%+v, want %+v, %v; applied %v, want %v; %d ended", got, want, err, applied, to, ended)
		}
		if again, err := backup.Diff(rowsFrom(from, nil, &ended), rowsFrom(to, nil, &ended), nil); err != nil || again != got {
			t.Errorf("without a receiver: %+v, %v", again, err)
		}
	})
}

// TestDiffEnds with the first error, of either side or the receiver, and lets go of both.
func TestDiffEnds(t *testing.T) {
	rows := map[string]string{"a": "1", "b": "2", "c": "3"}
	other := map[string]string{"a": "1", "b": "3", "d": "4"}
	for what, c := range map[string]struct {
		from, to error
		each     error
	}{"from": {from: errInjected}, "to": {to: errInjected}, "each": {each: errInjected}} {
		ended, calls := 0, 0
		diff, err := backup.Diff(rowsFrom(rows, c.from, &ended), rowsFrom(other, c.to, &ended), func(backup.Change) error {
			calls++
			return c.each
		})
		if !errors.Is(err, errInjected) || ended != 2 || calls == 0 || c.each != nil && calls != 1 {
			t.Errorf("%s: %+v, %v, %d ended, %d calls", what, diff, err, ended, calls)
		}
	}
	ended := 0
	if _, err := backup.Diff(rowsFrom(nil, errInjected, &ended), rowsFrom(rows, nil, &ended), nil); !errors.Is(err, errInjected) {
		t.Errorf("an error before the first row: %v", err)
	}
}

// TestDiffOfBackups: two backups in place, and the table beside.
func TestDiffOfBackups(t *testing.T) {
	_, d, live, ids := pairOnDisk(t)
	live.put(5, 7, 3)
	old, err := d.OpenBackup(table, ids[0], false)
	must(t, err)
	newer, err := d.OpenBackup(table, "2", false)
	must(t, err)
	for what, c := range map[string]struct {
		from, to backup.Rows
		want     backup.Difference
	}{
		"backups":   {scanOf(t, old.Store), scanOf(t, newer.Store), backup.Difference{Added: 10, Same: 80}},
		"backwards": {scanOf(t, newer.Store), scanOf(t, old.Store), backup.Difference{Removed: 10, Same: 80}},
		"itself":    {scanOf(t, old.Store), scanOf(t, old.Store), backup.Difference{Same: 80}},
		"table":     {scanOf(t, newer.Store), scanOf(t, live.s), backup.Difference{Changed: 2, Same: 88}},
	} {
		got, err := backup.Diff(c.from, c.to, nil)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", what, got, err, c.want)
		}
	}
	must(t, errors.Join(old.Close(), newer.Close()))
	if _, err := backup.Diff(scanClosed(old), scanOf(t, live.s), nil); err == nil {
		t.Error("compared with a backup that is closed")
	}
}

func scanClosed(r *backup.Reader) backup.Rows {
	return func(yield func(*messages.Entry, error) bool) {
		if _, _, err := r.Get([]byte("key")); err != nil {
			yield(nil, fmt.Errorf("read: %w", err))
		}
	}
}
