package gabiontest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/gabiontest"
	"github.com/gabiondb/gabion/messages"
)

// TestNew: Gabion serves until Close, which may be called twice.
func TestNew(t *testing.T) {
	k, err := gabiontest.New(actors.Config{Tables: []string{"tasks"}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, k, "tasks", "key", "value")
	want(t, k, "tasks", "key", "value")
	if report, err := k.Gabion().Health(t.Context()); err != nil || report.GetNextRun() != nil {
		t.Errorf("next run = %v, %v, want none", report.GetNextRun(), err)
	}
	if err := errors.Join(k.Close(), k.Close()); err != nil {
		t.Error(err)
	}
	if err := tryPut(k, "tasks", "key", "late"); !errors.Is(err, messages.ErrUnavailable) {
		t.Errorf("put after Close = %v", err)
	}
	if !k.System().IsStopped() {
		t.Error("the actor system runs on")
	}
}

// TestDeadLetter: one that the program sends last keeps no bubble from ending.
func TestDeadLetter(t *testing.T) {
	bubble(t, func(t *testing.T, k *gabiontest.Kit) {
		k.System().Root.Send(k.System().NewLocalPID("absent"), "letter")
	})
}

// TestConfig: a faulty configuration is an error, and the directories may lie anywhere.
func TestConfig(t *testing.T) {
	for _, config := range []actors.Config{{}, {Tables: []string{"a"}, FS: vfs.NewMem()}} {
		if _, err := gabiontest.New(config); !errors.Is(err, messages.ErrInvalid) {
			t.Errorf("New(%+v) = %v", config, err)
		}
	}
	for _, config := range []actors.Config{
		{Dir: "/srv/hub/data", BackupDir: "/mnt/backups/hub"},
		{Dir: "/srv/tables/data", BackupDir: "/srv/tables/data/saved"},
		{BackupDir: "/mnt/hub"},
	} {
		config.Tables = []string{"tasks"}
		k := gabiontest.StartConfig(t, config)
		put(t, k, "tasks", "key", "value")
		report, err := k.Gabion().BackupAll(t.Context())
		if err != nil || report.GetSet().GetResults()[0].GetFailure() != nil {
			t.Errorf("%+v: %v, %v", config, report, err)
		}
		k.Crash()
		want(t, k, "tasks", "key", "value")
		list, err := k.Gabion().ListBackups(t.Context())
		if err != nil || len(list.GetBackups()) != 1 {
			t.Errorf("%+v: %d backups after a power loss, %v", config, len(list.GetBackups()), err)
		}
	}
}

// TestRestart: rows and the program's own actors outlive it, and the owners' PIDs stay.
func TestRestart(t *testing.T) {
	k := gabiontest.Start(t, "tasks")
	tasks := k.Gabion().PID("tasks")
	answers := make(chan any, 1)
	program := k.System().Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case string:
			c.Request(tasks, &messages.Get{Key: []byte(m)})
		case *messages.Value, *messages.Failure:
			answers <- m
		}
	}))
	put(t, k, "tasks", "key", "value")
	for what, again := range map[string]func(){"restart": k.Restart, "crash": k.Crash} {
		before := k.Gabion()
		again()
		if k.Gabion() == before {
			t.Errorf("%s left the same Gabion", what)
		}
		k.System().Root.Send(program, "key")
		if value, ok := (<-answers).(*messages.Value); !ok || string(value.GetValue()) != "value" {
			t.Errorf("after %s the actor got %v", what, value)
		}
	}
}

// fakeT takes what a Kit says to its test.
type fakeT struct {
	testing.TB
	out      bytes.Buffer
	failures []string
	cleanups []func()
}

func (f *fakeT) Helper()           {}
func (f *fakeT) Output() io.Writer { return &f.out }
func (f *fakeT) Cleanup(do func()) { f.cleanups = append(f.cleanups, do) }
func (f *fakeT) Fatalf(format string, args ...any) {
	f.failures = append(f.failures, fmt.Sprintf(format, args...))
	panic(f)
}

// fatal is what do fails the test with, the empty text when it does not.
func (f *fakeT) fatal(do func()) (failure string) {
	defer func() {
		if recover() == any(f) {
			failure = f.failures[len(f.failures)-1]
		}
	}()
	do()
	return ""
}

// TestLogsGoToTheTest, as long as it runs.
func TestLogsGoToTheTest(t *testing.T) {
	fake := &fakeT{TB: t}
	k := gabiontest.Start(fake, "tasks")
	logs := k.System().Logger()
	logs.Info("of the framework")
	logs.Warn("of the framework, and bad")
	for _, cleanup := range fake.cleanups {
		cleanup()
	}
	logs.Warn("late")
	said := fake.out.String()
	for text, want := range map[string]bool{"gabion started": true, "table state changed": true, "and bad": true,
		`framework"`: false, "late": false} {
		if strings.Contains(said, text) != want {
			t.Errorf("logged %q: %v, want %v\n%s", text, !want, want, said)
		}
	}
}

// TestFailures end the test, or panic where there is none.
func TestFailures(t *testing.T) {
	fake := &fakeT{TB: t}
	k := gabiontest.Start(fake, "tasks")
	defer k.Close()
	for what, do := range map[string]func(){
		"no event of type *messages.BackupComplete": func() {
			gabiontest.Wait[*messages.BackupComplete](k, time.Millisecond)
		},
		`table "tasks" is not TABLE_STATE_QUARANTINED`: func() {
			k.WaitState("tasks", messages.TableState_TABLE_STATE_QUARANTINED, time.Millisecond)
		},
		`table "absent" is not TABLE_STATE_OPEN`: func() {
			k.WaitState("absent", messages.TableState_TABLE_STATE_OPEN, time.Millisecond)
		},
		`panic owner: no table "absent"`: func() { k.PanicOwner("absent") },
	} {
		if got := fake.fatal(do); !strings.HasPrefix(got, what) {
			t.Errorf("failed with %q, want %q", got, what)
		}
	}
	if got := fake.fatal(func() { gabiontest.Wait[*messages.BackupComplete](k, 0) }); !strings.Contains(got, "TableStateChanged: table:\"tasks\"") {
		t.Errorf("failed with %q, want the events so far", got)
	}
	bare, err := gabiontest.New(actors.Config{Tables: []string{"tasks"}})
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	defer func() {
		if reason := recover(); reason != `gabiontest: panic owner: no table "absent"` {
			t.Errorf("panicked with %v", reason)
		}
	}()
	bare.PanicOwner("absent")
}
