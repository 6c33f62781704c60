package store

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// TestHistoryFile is replaced as a whole, read back, and left alone where it is of a newer format.
func TestHistoryFile(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	d := openSchedule(t, fs, false)
	if got, err := d.ReadHistory(); got != nil || err != nil {
		t.Errorf("before the first write: %v, %v", got, err)
	}
	want := &messages.History{FormatVersion: FormatVersion, Tables: []*messages.TableHistory{{Table: "a", Points: []*messages.SizePoint{{Count: 3, DiskBytes: 7}}}},
		Runs: []*messages.RunHistory{{RunId: "x", Failed: 2}}}
	if err := d.WriteHistory(want); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadHistory(); !proto.Equal(got, want) || err != nil {
		t.Errorf("read %v, %v", got, err)
	}
	if err := WriteDurably(fs, scheduleDir+"/"+historyFile, []byte(`{"formatVersion":2}`)); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadHistory(); got != nil || !errors.Is(err, ErrNewer) {
		t.Errorf("of a newer format: %v, %v", got, err)
	}
}
