package backup_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/oklog/ulid/v2"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// TestTokenCrashAnywhere takes the power away after every file operation of an exchange of tokens. The directory's next run
// must be accepted, whatever the crash left, and a copy of it refused from then on. What was not adopted yet must be adopted again.
func TestTokenCrashAnywhere(t *testing.T) {
	for name, test := range map[string]struct {
		before func(t *testing.T, fs vfs.FS) // what both directories have been through
		adopt  bool
	}{
		"first run": {before: func(*testing.T, vfs.FS) {}},
		"second run": {before: func(t *testing.T, fs vfs.FS) {
			must(t, run(t, fs, one, theirs, false))
		}},
		"run in another directory": {before: func(t *testing.T, fs vfs.FS) {
			must(t, run(t, fs, one, theirs, false))
			must(t, run(t, fs, one, another, true))
		}},
		"adopts another copy's": {adopt: true, before: func(t *testing.T, fs vfs.FS) {
			must(t, run(t, fs, one, theirs, false))
			copyDir(t, fs, one, "/one/copier")
			must(t, run(t, fs, "/one/copier", theirs, false))
		}},
		"adopts an empty one": {adopt: true, before: func(t *testing.T, fs vfs.FS) {
			must(t, run(t, fs, one, another, false))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			rng := newRand(t)
			fs := newPair(t)
			test.before(t, fs)
			disk := newHookFS(fs)
			o := opened(t, disk, one, theirs) // makes what is missing
			copyDir(t, fs, one, two)
			must(t, store.SyncDir(fs, "/one"))
			must(t, store.SyncDir(fs, "/"))
			crashes := 0
			disk.hook(nil, func(op, path string) {
				if !mutates(op) {
					return
				}
				for _, percent := range []int{0, 50, 100} {
					crashes++
					clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
					err := run(t, clone, one, theirs, false)
					if err != nil && test.adopt {
						err = run(t, clone, one, theirs, true)
					}
					if err != nil {
						t.Fatalf("after %s %s: %v", op, path, err)
					}
					must(t, run(t, clone, one, theirs, false))
					wantRefused(t, run(t, clone, two, theirs, false), "of another copy")
					must(t, run(t, clone, one, theirs, false))
				}
			})
			unmarked, err := o.BeginRun(ulid.Make().String(), test.adopt)
			must(t, errors.Join(unmarked, err))
			disk.hook(nil, nil)
			o.close(t)
			if crashes < 40 {
				t.Errorf("only %d crashes", crashes)
			}
		})
	}
}

// TestTokenNotWritten: a run for which a token cannot be written, as for a full disk, says so and goes on; the next ones
// are accepted. What is to be adopted is not, unless all of it was written.
func TestTokenNotWritten(t *testing.T) {
	for _, at := range []string{one, theirs} {
		for _, adopt := range []bool{false, true} {
			for _, op := range []string{"create", "write", "sync", "rename"} {
				t.Run(at+" "+op+map[bool]string{true: " adopts"}[adopt], func(t *testing.T) {
					fs := newPair(t)
					must(t, run(t, fs, one, theirs, false))
					if adopt {
						copyDir(t, fs, one, two)
						must(t, run(t, fs, two, theirs, false))
					}
					disk := newHookFS(fs)
					o := opened(t, disk, one, theirs)
					disk.hook(func(did, path string) error {
						if did == op && strings.HasPrefix(path, at) {
							return errInjected
						}
						return nil
					}, nil)
					unmarked, err := o.BeginRun(ulid.Make().String(), adopt)
					disk.hook(nil, nil)
					if adopt {
						wantIs(t, err, errInjected)
						if o.Whose() == nil {
							t.Error("it is adopted")
						}
					} else {
						must(t, err)
						wantIs(t, unmarked, errInjected)
						must(t, o.Whose())
					}
					o.close(t)
					must(t, run(t, fs, one, theirs, adopt))
					must(t, run(t, fs, one, theirs, false))
				})
			}
		}
	}
}

// TestLastStepNotWritten: where the last of the three writes fails, the backup directory is adopted all the same.
func TestLastStepNotWritten(t *testing.T) {
	fs := newPair(t)
	must(t, run(t, fs, one, theirs, false))
	copyDir(t, fs, one, two)
	must(t, run(t, fs, two, theirs, false))
	disk := newHookFS(fs)
	o := opened(t, disk, one, theirs)
	writes := 0
	disk.hook(func(op, path string) error {
		if op == "create" && strings.HasPrefix(path, one+"/backup_dirs.json") {
			if writes++; writes == 2 {
				return errInjected
			}
		}
		return nil
	}, nil)
	unmarked, err := o.BeginRun(ulid.Make().String(), true)
	must(t, err)
	wantIs(t, unmarked, errInjected)
	must(t, o.Whose())
	copyID := o.CopyID()
	o.close(t)
	must(t, run(t, fs, one, theirs, false))
	o = opened(t, fs, one, theirs)
	if copyID == "" || o.CopyID() != copyID {
		t.Errorf("copy id was %q, is %q", copyID, o.CopyID())
	}
	o.close(t)
	wantRefused(t, run(t, fs, two, theirs, false), "of another copy")
}

// TestNothingWithoutRun: where the directory was replaced after the run had begun, nothing is published into another copy's.
func TestNothingWithoutRun(t *testing.T) {
	fs := newPair(t)
	must(t, run(t, fs, one, theirs, false))
	copyDir(t, fs, one, two)
	must(t, run(t, fs, two, theirs, false))
	live := newLive(t, newHookFS(fs), "/one/live", table, lineageA)
	live.put(10, 100)
	o := opened(t, fs, one, theirs)
	defer o.close(t)
	cut := live.cut()
	was := slices.DeleteFunc(snapshot(t, fs, theirs), func(line string) bool { return strings.Contains(line, "owner.json") })
	if _, err := o.Publish(t.Context(), cut, nil); !errors.Is(err, messages.ErrNotAdopted) {
		t.Errorf("publish: %v", err)
	}
	if err := o.WriteSet(&messages.BackupSet{RunId: cut.RunID}); !errors.Is(err, messages.ErrNotAdopted) {
		t.Errorf("write set: %v", err)
	}
	now := slices.DeleteFunc(snapshot(t, fs, theirs), func(line string) bool { return strings.Contains(line, "owner.json") })
	if !slices.Equal(now, was) {
		t.Errorf("the disk was %q, is %q", was, now)
	}
}
