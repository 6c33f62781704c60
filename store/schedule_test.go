package store

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

const scheduleDir = "/dir"

func openSchedule(t *testing.T, fs vfs.FS, readOnly bool) *Directory {
	t.Helper()
	d, err := OpenDirectory(DirectoryOptions{FS: fs, Path: scheduleDir, ReadOnly: readOnly})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func attempt(unix int64) *messages.ScheduleState {
	return &messages.ScheduleState{FormatVersion: FormatVersion, LastAttempt: timestamppb.New(time.Unix(unix, 0)), Unfinished: uint32(unix),
		Retries: []*messages.TableRetry{{Table: "a", Failures: 2}}}
}

// TestScheduleAcrossCrashes: a crash before any file operation of a write leaves the old state, or the new one; after the
// write, the new one.
func TestScheduleAcrossCrashes(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	d := openSchedule(t, fs, false)
	if got, err := d.ReadSchedule(); got != nil || err != nil {
		t.Errorf("before the first write: %v, %v", got, err)
	}
	read := func(after vfs.FS) *messages.ScheduleState {
		t.Helper()
		got, err := openSchedule(t, after, false).ReadSchedule()
		if err != nil {
			t.Errorf("after a crash: %v", err)
		}
		return got
	}
	var old *messages.ScheduleState
	for i := range int64(3) {
		next, crashes := attempt(i+1), 0
		var clones []vfs.FS
		fs.hooks(func(o fileOp) error {
			for range 4 {
				clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{}))
			}
			return nil
		}, nil)
		if err := d.WriteSchedule(next); err != nil {
			t.Fatal(err)
		}
		fs.hooks(nil, nil)
		for _, clone := range clones {
			got := read(clone)
			if old == nil && got == nil {
				continue
			}
			if !proto.Equal(got, old) && !proto.Equal(got, next) {
				t.Errorf("write %d: a crash left %v", i, got)
			}
			crashes++
		}
		if i > 0 && crashes < 12 {
			t.Errorf("write %d: %d crashes", i, crashes)
		}
		if got := read(mem.CrashClone(vfs.CrashCloneCfg{})); !proto.Equal(got, next) {
			t.Errorf("write %d: a crash after it left %v", i, got)
		}
		old = next
	}
}

// TestUnreadableSchedule is an error, and the next write makes up for it.
func TestUnreadableSchedule(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	d := openSchedule(t, fs, false)
	for _, text := range []string{"", "{", "{}", "null", `{"formatVersion":2}`, `{"formatVersion":1,"lastAttempt":"yesterday"}`} {
		if err := WriteDurably(fs, scheduleDir+"/"+scheduleFile, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := d.ReadSchedule(); got != nil || err == nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if err := d.WriteSchedule(attempt(1)); err != nil {
		t.Fatal(err)
	}
	fs.hooks(func(o fileOp) error {
		if o.base() == scheduleFile+asideSuffix || o.kind == "open" {
			return errFault
		}
		return nil
	}, nil)
	if got, err := d.ReadSchedule(); got != nil || err == nil {
		t.Errorf("a file that cannot be read: %v, %v", got, err)
	}
	if err := d.WriteSchedule(attempt(2)); err == nil {
		t.Error("a file that cannot be written was")
	}
	fs.hooks(nil, nil)
	if got, err := d.ReadSchedule(); !proto.Equal(got, attempt(1)) || err != nil {
		t.Errorf("after a failed write: %v, %v", got, err)
	}
}

// TestScheduleOfReadOnlyDirectory can be read and not written.
func TestScheduleOfReadOnlyDirectory(t *testing.T) {
	fs := vfs.NewCrashableMem()
	if err := openSchedule(t, fs, false).WriteSchedule(attempt(1)); err != nil {
		t.Fatal(err)
	}
	d := openSchedule(t, fs.CrashClone(vfs.CrashCloneCfg{}), true)
	if err := d.WriteSchedule(attempt(2)); err == nil {
		t.Error("written")
	}
	if got, err := d.ReadSchedule(); !proto.Equal(got, attempt(1)) || err != nil {
		t.Errorf("read %v, %v", got, err)
	}
}
