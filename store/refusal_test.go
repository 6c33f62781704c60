package store

import (
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2"
)

// What a database does not accept must not keep its slot.
func TestRefusedGrantGivesItsSlotBack(t *testing.T) {
	l := newLimiter(1)
	asked := make(chan struct{}, 10)
	s := register(l, refusing{asked})
	<-asked
	s.Unregister()
	l.close()
	if l.running != 0 {
		t.Errorf("%d slots taken", l.running)
	}
}

type refusing struct{ asked chan struct{} }

func (refusing) GetAllowedWithoutPermission() int { return 1 }
func (refusing) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	return true, pebble.WaitingCompaction{}
}
func (r refusing) Schedule(pebble.CompactionGrantHandle) bool {
	r.asked <- struct{}{}
	return false
}

// fickle is a database that says that it waits, for the most urgent of compactions, and refuses its grants.
type fickle struct {
	refusing
	refuse func()
}

func (fickle) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	return true, pebble.WaitingCompaction{Priority: 1000}
}

func (f fickle) Schedule(pebble.CompactionGrantHandle) bool {
	f.refuse()
	return false
}

func TestRefusedGrantGoesToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		blocker := register(l, willing{})
		if ok, _ := blocker.TrySchedule(); !ok {
			t.Fatal("not granted")
		}
		refusals := 0
		for range 3 {
			register(l, fickle{refuse: func() { refusals++ }})
		}
		granted := make(chan *waiting, 1)
		register(l, &waiting{WaitingCompaction: pebble.WaitingCompaction{Priority: 100}, granted: granted})
		synctest.Wait()
		blocker.Done()
		synctest.Wait() // also for an end of the asking: a limiter that spins never gets here
		if len(granted) != 1 || refusals == 0 {
			t.Fatalf("%d grants, %d refusals: the slot stays free while a database waits for it", len(granted), refusals)
		}
		(<-granted).handle.Done()
		synctest.Wait()
		if l.running != 0 {
			t.Errorf("%d slots taken", l.running)
		}
		l.close()
	})
}

// Who finds no slot free because another one is about to refuse it is not asked by that grant; it must be by the next.
func TestWhoWasTurnedAwayByARefusedGrantIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		granted := make(chan *waiting, 1)
		late := &waiting{granted: granted, done: true}
		s := register(l, late)
		synctest.Wait()
		refusals := 0
		register(l, fickle{refuse: func() {
			if refusals++; refusals == 1 {
				if ok, _ := s.TrySchedule(); ok {
					t.Error("granted beyond the limit")
				}
				late.done = false
			}
		}})
		synctest.Wait()
		if len(granted) != 1 {
			t.Fatalf("the database that was turned away waits for ever, after %d refusals", refusals)
		}
		(<-granted).handle.Done()
		synctest.Wait()
		l.close()
	})
}
