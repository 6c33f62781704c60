package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// step is one committed operation.
type step struct {
	op    *messages.Op
	write *modelWrite
	last  bool // of its request
}

// history returns the operations by seq, from 1; every seq must be there, once.
func (m *model) history() []step {
	var acked []*modelWrite
	for _, w := range m.writes {
		if w.acked > 0 {
			acked = append(acked, w)
		}
	}
	sort.Slice(acked, func(i, j int) bool { return acked[i].seq < acked[j].seq })
	var steps []step
	for _, w := range acked {
		for i, op := range w.ops {
			steps = append(steps, step{op: op, write: w, last: i == len(w.ops)-1})
		}
		if w.seq != uint64(len(steps)) {
			m.t.Fatalf("request of sender %d has seq %d, want %d: a seq is missing or given twice", w.sender, w.seq, len(steps))
		}
	}
	return steps
}

// touches tells whether an operation decides key, and with which value.
func touches(op *messages.Op, key string) (value string, found, touched bool) {
	switch o := op.GetOp().(type) {
	case *messages.Op_Put:
		return string(o.Put.GetValue()), true, string(o.Put.GetKey()) == key
	case *messages.Op_Delete:
		return "", false, string(o.Delete.GetKey()) == key
	case *messages.Op_DeleteRange:
		k := []byte(key)
		return "", false, bytes.Compare(o.DeleteRange.GetStart(), k) <= 0 && bytes.Compare(k, o.DeleteRange.GetEnd()) < 0
	}
	return "", false, false
}

// checkReads: each read shows the state after some seq that includes what had been acknowledged before it was
// sent and what its sender had sent before, and nothing durable only later than some crash before its answer:
// that part is checkCrash's, by the seq noted here.
func (m *model) checkReads(history []step) {
	for _, r := range m.reads {
		floor := 0
		for i, s := range history {
			if _, _, touched := touches(s.op, r.key); !touched {
				continue
			}
			own := s.write.sender == r.sender && s.write.sent < r.sent
			if own || s.write.acked < r.sent {
				floor = i + 1
			}
		}
		// The earliest state from floor on that the read may have shown.
		at, ok := 0, false
		value, found := "", false
		for i := 0; i <= len(history) && !ok; i++ {
			if i > 0 {
				if v, f, touched := touches(history[i-1].op, r.key); touched {
					value, found = v, f
				}
			}
			if i >= floor && found == r.found && value == r.value {
				at, ok = i, true
			}
		}
		if !ok {
			m.t.Fatalf("sender %d read %q = %q, %v, which it never was from seq %d on", r.sender, r.key, r.value, r.found, floor)
		}
		r.seq = max(r.seq, uint64(at))
	}
}

// checkCrash opens what a crash left and compares it with the history.
func (m *model) checkCrash(crash modelCrash, history []step) {
	name := fmt.Sprintf("crash at %d (%d %% unsynced)", crash.at, crash.percent)
	system := quietSystem()
	defer system.Shutdown()
	ctx := context.Background()
	g, err := actors.Start(ctx, system, m.config(crash.fs))
	if err != nil {
		m.t.Fatalf("%s: %v", name, err)
	}
	defer func() {
		if err := g.Stop(ctx); err != nil {
			m.t.Errorf("%s: stop: %v", name, err)
		}
	}()
	tables, err := g.ListTables(ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	if s := tables[0].GetState(); s != messages.TableState_TABLE_STATE_OPEN {
		m.t.Fatalf("%s: table is %v: %s", name, s, tables[0].GetReason())
	}
	seq := tables[0].GetPosition().GetSeq()
	if seq > uint64(len(history)) {
		m.t.Fatalf("%s: seq is %d, only %d were given", name, seq, len(history))
	}
	if seq > 0 && !history[seq-1].last {
		m.t.Errorf("%s: seq %d is in the middle of a request", name, seq)
	}
	for i, s := range history {
		if s.write.acked > 0 && s.write.acked < crash.at && uint64(i+1) > seq {
			m.t.Fatalf("%s: acknowledged seq %d is lost: the table is at %d", name, i+1, seq)
		}
	}
	for _, r := range m.reads {
		if r.answered < crash.at && r.seq > seq {
			m.t.Fatalf("%s: sender %d had read %q = %q of seq %d, but the table is at %d", name, r.sender, r.key, r.value, r.seq, seq)
		}
	}
	m.checkState(name, crash.fs, g, history[:seq])
}

// checkState compares the rows and the accounting with the operations.
func (m *model) checkState(name string, fs vfs.FS, g *actors.Gabion, history []step) {
	want := make(map[string]string)
	for _, s := range history {
		for i := range modelKeys {
			key := fmt.Sprintf("k%02d", i)
			if value, found, touched := touches(s.op, key); touched {
				delete(want, key)
				if found {
					want[key] = value
				}
			}
		}
	}
	var fingerprinter store.Fingerprinter
	var count, live, fingerprint uint64
	got := make(map[string]string)
	err := g.Table("t").Walk(context.Background(), nil, func(key, value []byte) error {
		got[string(key)] = string(value)
		count++
		live += uint64(len(key) + len(value))
		fingerprint += fingerprinter.Row(key, value)
		return nil
	})
	if err != nil {
		m.t.Fatalf("%s: %v", name, err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		m.t.Fatalf("%s: rows are\n%v\nwant\n%v", name, got, want)
	}
	health, err := g.Health(context.Background())
	if err != nil {
		m.t.Fatal(err)
	}
	if row := health.GetTables()[0]; row.GetCount() != count || row.GetLiveBytes() != live {
		m.t.Errorf("%s: record says %d rows, %d B; a scan finds %d, %d", name, row.GetCount(), row.GetLiveBytes(), count, live)
	}
	report, err := g.BackupAll(context.Background())
	if err != nil || report.GetSet().GetResults()[0].GetFailure() != nil {
		m.t.Fatalf("%s: backup: %v, %v", name, err, report)
	}
	result := report.GetSet().GetResults()[0]
	data, err := store.ReadFile(fs, fs.PathJoin(report.GetBackupDir(), "t", result.GetBackupId(), "manifest.json"))
	var manifest messages.Manifest
	if err := errors.Join(err, protojson.Unmarshal(data, &manifest)); err != nil {
		m.t.Fatalf("%s: %v", name, err)
	}
	if sum := manifest.GetRecord().GetFingerprint(); sum != fingerprint {
		m.t.Errorf("%s: record has fingerprint %x, a scan finds %x", name, sum, fingerprint)
	}
}
