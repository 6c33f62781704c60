package messages_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/messages"
)

func TestCheckNamesEveryFault(t *testing.T) {
	big := bytes.Repeat([]byte("x"), messages.MaxValue+1)
	put := func(key, value []byte) *messages.Op {
		return &messages.Op{Op: &messages.Op_Put{Put: &messages.Put{Key: key, Value: value}}}
	}
	for _, test := range []struct {
		name  string
		check *messages.Failure
		want  []string // every part must be named; none means that the request is good
	}{
		{"put at the limits", (&messages.Put{Key: big[:messages.MaxKey], Value: big[:messages.MaxValue]}).Check(), nil},
		{"put of nothing", (&messages.Put{Key: []byte("k")}).Check(), nil},
		{"put with two faults", (&messages.Put{Value: big}).Check(), []string{"key is empty", "16777217 B, maximum is 16777216 B"}},
		{"nil put", (*messages.Put)(nil).Check(), []string{"key is empty"}},
		{"key one too long", (&messages.Delete{Key: big[:messages.MaxKey+1]}).Check(), []string{"4097 B, maximum is 4096 B"}},
		{"get of nothing", (&messages.Get{}).Check(), []string{"key is empty"}},
		{"range backwards", (&messages.DeleteRange{Start: []byte("b"), End: []byte("a")}).Check(), []string{`"b" is not before end "a"`}},
		{"empty range", (&messages.DeleteRange{Start: []byte("b"), End: []byte("b")}).Check(), []string{"is not before"}},
		{"scan from after a longest key", (&messages.Scan{Start: big[:messages.MaxKey+1]}).Check(), nil},
		{"scan with long bounds", (&messages.Scan{Start: big, Prefix: big}).Check(), []string{"start has", "prefix has"}},
		{"empty write", (&messages.Write{}).Check(), []string{"no ops"}},
		{"write with bad parts", (&messages.Write{
			Ops:        []*messages.Op{put([]byte("k"), nil), put(nil, nil), {}},
			Conditions: []*messages.Condition{{Key: []byte("k"), Want: &messages.Condition_Absent{}}, {Key: []byte("k")}, nil},
		}).Check(), []string{"op 1: key is empty", "op 2: is empty", "condition 0: absent is false", "condition 1: wants nothing", "condition 2: key is empty"}},
		{"write too large", (&messages.Write{Ops: []*messages.Op{
			put([]byte("a"), big[:messages.MaxValue]), put([]byte("b"), big[:messages.MaxValue]),
			put([]byte("c"), big[:messages.MaxValue]), put([]byte("d"), big[:messages.MaxValue]),
		}}).Check(), []string{"67108868 B, maximum is 67108864 B"}},
		{"cut of a run", (&messages.Cut{RunId: "01M82SP4RSVPSRDSKQHP1S0X20"}).Check(), nil},
		{"cut out of the staging", (&messages.Cut{RunId: "../../01M82SP4RSVPSRDSKQHP"}).Check(), []string{"no ULID"}},
		{"prune of bad names", (&messages.PruneBackups{Tables: []string{"ok", "Bad"}}).Check(), []string{`table 1: table name "Bad"`}},
		{"prune of all", (&messages.PruneBackups{}).Check(), nil},
		{"pin", (&messages.PinBackup{Table: "ok", BackupId: "7", Reason: "audit"}).Check(), nil},
		{"pin of nothing", (&messages.PinBackup{Table: "Bad", Reason: strings.Repeat("r", 257), Unpin: true}).Check(),
			[]string{`"Bad"`, "backup id is empty", "257 B, maximum is 256 B", "reason is given for an unpin"}},
		{"pin with bad text", (&messages.PinBackup{Table: "ok", BackupId: "7", Reason: "\xff"}).Check(), []string{"no UTF-8"}},
		{"backup with bad names", (&messages.BackupAll{Tables: []string{"ok", "Bad", "con"}, Label: strings.Repeat("l", 257)}).Check(),
			[]string{`"Bad"`, `"con" is reserved`, "257 B"}},
	} {
		if test.want == nil {
			if test.check != nil {
				t.Errorf("%s: refused: %v", test.name, test.check)
			}
			continue
		}
		if !errors.Is(test.check, messages.ErrInvalid) || test.check.GetHint() == "" {
			t.Errorf("%s: %v does not match ErrInvalid, or has no hint", test.name, test.check)
		}
		for _, part := range test.want {
			if !strings.Contains(test.check.GetMessage(), part) {
				t.Errorf("%s: %q does not name %q", test.name, test.check.GetMessage(), part)
			}
		}
	}
}

func TestCheckBoundsItsText(t *testing.T) {
	w := &messages.Write{}
	for range 1000 {
		w.Ops = append(w.Ops, &messages.Op{})
	}
	if text := w.Check().GetMessage(); !strings.Contains(text, "and 992 more") || len(text) > 1000 {
		t.Errorf("text has %d B: %q", len(text), text)
	}
}

func TestCheckTableName(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, name := range []string{"a", "task_queue", "a9", "com10", "backupper", long} {
		if err := messages.CheckTableName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "A", "9a", "_a", "a-b", "a/b", "..", "a\n", "ä", long + "a", "backup", "backups", "sets", "staging", "gabion", "con", "nul", "com1", "lpt9"} {
		if err := messages.CheckTableName(name); !errors.Is(err, messages.ErrInvalid) || len(messages.Hints(err)) == 0 {
			t.Errorf("%q: %v", name, err)
		}
	}
}
