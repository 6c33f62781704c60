package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/messages"
)

// Whatever byte of OPTIONS is damaged, the table opens with its rows, or is refused as damaged: never as something that
// another try might cure.
func TestDamagedOptions(t *testing.T) {
	refused, size := 0, 1
	for i := 0; i < size; i += 11 {
		r := newRuin(t, false)
		options := r.options(t)
		damaged, err := ReadFile(r.disk, options)
		if err != nil {
			t.Fatal(err)
		}
		size = len(damaged)
		damaged[i] ^= 1
		if err := WriteSynced(r.disk, options, damaged); err != nil {
			t.Fatal(err)
		}
		d := openDirectory(t, r.disk)
		s, err := d.Open("t", OpenOptions{})
		switch {
		case err == nil:
			if value, _, err := s.Get([]byte("k10")); err != nil || string(value) != strings.Repeat("v", 50) {
				t.Errorf("byte %d: %q, %v", i, value, err)
			}
			closeAll(t, s)
		case errors.Is(err, messages.ErrDataLoss):
			refused++
		default:
			t.Errorf("byte %d, %q: %v", i, damaged[max(0, i-10):i+1], err)
		}
		closeAll(t, d)
	}
	if refused == 0 {
		t.Error("no damage was refused")
	}
}

// options is the path of the table's OPTIONS.
func (r *ruin) options(t *testing.T) string {
	names, err := r.disk.List(r.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "OPTIONS-") {
			return r.disk.PathJoin(r.path, name)
		}
	}
	t.Fatal("there is no OPTIONS file")
	return ""
}
