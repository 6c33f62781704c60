package test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/gabiontest"
	"github.com/gabiondb/gabion/messages"
)

// patient is an actor of a host that writes a row each pace, and again until it is durable.
type patient struct {
	owner *actor.PID
	rows  int
	next  int
	// durable gets the number of each row, once its write is answered. It holds all of them.
	durable  chan int
	failures int
}

const pace = 100 * time.Millisecond

type again struct{}

func (p *patient) Receive(c actor.Context) {
	wait := pace
	switch m := c.Message().(type) {
	case *actor.Started, again:
		c.Request(p.owner, &messages.Put{Key: key(p.next), Value: key(p.next)})
		return
	case *messages.Committed:
		p.durable <- p.next
		if p.next++; p.next == p.rows {
			return
		}
	case *messages.Failure:
		p.failures++
		if m.GetRetryAfter() != nil {
			wait = m.GetRetryAfter().AsDuration()
		}
	case *actor.DeadLetterResponse: // Gabion is between two lives
		p.failures++
	default:
		return
	}
	root, self := c.ActorSystem().Root, c.Self()
	time.AfterFunc(wait, func() { root.Send(self, again{}) })
}

func key(i int) []byte { return fmt.Appendf(nil, "%06d", i) }

// TestHostAcrossFaults: an actor that does what a Failure says gets every row written, with the PID it was given
// at first, across panics, disks that fail, hang and fill up, restarts and power losses; and a run backs them all up.
func TestHostAcrossFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := gabiontest.Start(t, "rows")
		faults := []func(){
			func() { k.PanicOwner("rows") },
			func() { k.PanicOn("rows", nil) },
			func() { lasts(k.FailWrites("rows"), time.Second) },
			func() { lasts(k.HangSyncs("rows"), time.Minute) },
			func() { lasts(k.FillDisk(), time.Second) },
			k.Restart,
			k.Crash,
			func() { k.CrashPartly(50, 0) },
			func() { defer k.HangSyncs("rows")(); time.Sleep(time.Second); k.Crash() },
		}
		rows := 10 * len(faults)
		p := &patient{owner: k.Gabion().PID("rows"), rows: rows, durable: make(chan int, rows)}
		pid := k.System().Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return p }))
		for i := range rows {
			if row := <-p.durable; row != i {
				t.Fatalf("row %d became durable after %d", row, i-1)
			}
			if i%10 == 5 {
				faults[i/10]()
			}
		}
		if err := k.System().Root.StopFuture(pid).Wait(); err != nil {
			t.Error(err)
		}
		if p.failures < 4 {
			t.Errorf("the actor met %d failures, want one at least of PanicOn, FailWrites, FillDisk and the last", p.failures)
		}
		found := 0
		err := k.Gabion().Table("rows").Walk(t.Context(), nil, func(got, _ []byte) error {
			if string(got) != string(key(found)) {
				return fmt.Errorf("row %s is where %s belongs", got, key(found))
			}
			found++
			return nil
		})
		if err != nil || found != rows {
			t.Errorf("the table has %d rows, want %d: %v", found, rows, err)
		}
		if _, err := k.Gabion().BackupAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		complete := gabiontest.Wait[*messages.BackupComplete](k, time.Second)
		if len(complete.GetBackedUp()) != 1 || complete.GetBackedUp()[0].GetCount() != uint64(rows) {
			t.Errorf("%v", complete)
		}
	})
}

// lasts heals a fault after a while.
func lasts(heal func(), d time.Duration) {
	time.Sleep(d)
	heal()
}
