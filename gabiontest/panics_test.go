package gabiontest_test

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/gabiontest"
	"github.com/gabiondb/gabion/messages"
)

func restarts(t *testing.T, k *gabiontest.Kit, table string) uint32 {
	t.Helper()
	report, err := k.Gabion().Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range report.GetTables() {
		if row.GetTable() == table {
			return row.GetRestarts()
		}
	}
	t.Fatalf("no table %q", table)
	return 0
}

// TestPanicOwner: the owner is restarted each time, with its PID, and no other.
func TestPanicOwner(t *testing.T) {
	bubble(t, func(t *testing.T, k *gabiontest.Kit) {
		put(t, k, "tasks", "key", "value")
		pid := k.Gabion().PID("tasks")
		for range 3 {
			k.PanicOwner("tasks")
			want(t, k, "tasks", "key", "value")
			put(t, k, "tasks", "key", "value")
		}
		if n, others := restarts(t, k, "tasks"), restarts(t, k, "other"); n != 3 || others != 0 {
			t.Errorf("restarts = %d and %d, want 3 and 0", n, others)
		}
		if k.Gabion().PID("tasks") != pid {
			t.Error("the PID changed")
		}
	})
}

// TestPanicOn: the next message that matches is answered INTERNAL, and none after it.
func TestPanicOn(t *testing.T) {
	bubble(t, func(t *testing.T, k *gabiontest.Kit) {
		disarm := k.PanicOn("tasks", nil)
		disarm()
		put(t, k, "tasks", "key", "value")
		disarm = k.PanicOn("tasks", func(m proto.Message) bool {
			_, ok := m.(*messages.Delete)
			return ok
		})
		put(t, k, "tasks", "key", "value")
		for _, wanted := range []error{messages.ErrInternal, nil} {
			_, err := k.Gabion().Table("tasks").Delete(t.Context(), []byte("key"))
			if !errors.Is(err, wanted) {
				t.Errorf("delete = %v, want %v", err, wanted)
			}
		}
		disarm()
		k.PanicOn("tasks", nil)
		put(t, k, "other", "key", "value")
		if err := tryPut(k, "tasks", "key", "value"); !errors.Is(err, messages.ErrInternal) {
			t.Errorf("put = %v, want ErrInternal", err)
		}
		put(t, k, "tasks", "key", "value")
		if n := restarts(t, k, "tasks"); n != 2 {
			t.Errorf("restarts = %d, want 2", n)
		}
	})
}
