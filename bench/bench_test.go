package bench

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Store that counts what is asked of it.
type memory struct {
	mu                  sync.Mutex
	rows                map[string][]byte
	puts, gets, scanned int
	fresh               int // puts of rows that there were not
}

func (m *memory) Load(_ context.Context, k *Keys) error {
	m.rows = map[string][]byte{}
	for i := range k.Rows() {
		m.rows[string(KeyOf(i))] = k.ValueOf(KeyOf(i))
	}
	return nil
}

func (m *memory) Put(_ context.Context, key, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, found := m.rows[string(key)]; !found {
		m.fresh++
	}
	m.puts++
	m.rows[string(key)] = value
	return nil
}

func (m *memory) Get(_ context.Context, key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gets++
	return m.rows[string(key)], nil
}

func (m *memory) Scan(_ context.Context, _ []byte, limit int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scanned++
	return limit, nil
}

func (m *memory) Close() error { return nil }

// TestRun carries out what is asked by all callers, and counts it.
func TestRun(t *testing.T) {
	m, keys := &memory{}, NewKeys(1000, 10, 1)
	if err := m.Load(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	s, err := Run(t.Context(), Load{Callers: 4, Op: Puts(m)}, keys, 20*time.Millisecond)
	if err != nil || s.Ops == 0 || int(s.Ops) != m.puts || m.fresh != m.puts || s.Seconds < 0.02 || s.Allocs <= 0 || s.Max < s.P99 || s.P99 < s.P50 {
		t.Errorf("%+v, %v; the store had %d puts, %d of them fresh", s, err, m.puts, m.fresh)
	}
	if s, err = Run(t.Context(), Load{Op: Gets(m)}, keys, time.Millisecond); err != nil || int(s.Ops) != m.gets {
		t.Errorf("%+v, %v, want %d gets", s, err, m.gets)
	}
	m.rows[string(KeyOf(7))] = nil
	if _, err = Run(t.Context(), Load{Op: Gets(m)}, keys, time.Minute); !errors.Is(err, errWrongValue) {
		t.Errorf("gets of a store that lost a row: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = Run(ended, Load{Op: Puts(m)}, keys, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}

// TestRunOfNoTime: a machine so busy that no caller begins in time still measures each of them.
func TestRunOfNoTime(t *testing.T) {
	m, keys := &memory{}, NewKeys(10, 10, 1)
	if err := m.Load(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	if s, err := Run(t.Context(), Load{Callers: 3, Op: Gets(m)}, keys, -time.Second); err != nil || s.Ops != 3 || m.gets != 3 {
		t.Errorf("%+v, %v; the store had %d gets, want 3", s, err, m.gets)
	}
}

// TestArrivals: operations come at their rate, whatever those before them take, and wait from their arrival on.
func TestArrivals(t *testing.T) {
	const rate, takes, lasts = 2000, 5 * time.Millisecond, 50 * time.Millisecond
	slow := func(context.Context, *Keys) (int, error) {
		time.Sleep(takes)
		return 1, nil
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := Run(t.Context(), Load{Rate: rate, Op: slow}, NewKeys(10, 10, 1), lasts)
		// Some 100 arrive. The one caller is through with the last of them when it has carried out all.
		all := time.Duration(s.Ops) * takes
		if err != nil || s.Ops < 70 || s.Ops > 130 || s.Seconds < all.Seconds() || s.Max < float64((all-lasts)/time.Microsecond) {
			t.Errorf("%+v, %v", s, err)
		}
	})
	// Of what arrived until it was told to stop, nothing is left out; of the rest, all.
	synctest.Test(t, func(t *testing.T) {
		until, began := make(chan struct{}), time.Now()
		time.AfterFunc(lasts, func() { close(until) })
		carriedOut := 0
		s, err := Run(t.Context(), Load{Rate: rate, Until: until, Counts: func(at time.Time) bool { return at.After(began.Add(lasts / 2)) },
			Op: func(ctx context.Context, k *Keys) (int, error) { carriedOut++; return slow(ctx, k) }}, NewKeys(10, 10, 1), time.Hour)
		if err != nil || carriedOut < 70 || carriedOut > 130 || s.Ops < 30 || s.Ops > int64(carriedOut)*7/10 ||
			s.Max < float64((time.Duration(carriedOut)*takes-lasts)/time.Microsecond) {
			t.Errorf("%+v, %v; %d were carried out", s, err, carriedOut)
		}
	})
}

// TestLateGenerator: arrivals that the machine was too busy to send in time are sent with the time that was drawn.
func TestLateGenerator(t *testing.T) {
	const rate, late = 1000, 100 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		time.Sleep(late)
		arrivals, in, sent := 0, 0, newHistogram()
		for at := range arrive(t.Context(), Load{Rate: rate}, NewKeys(10, 10, 1), began, began.Add(2*late), sent) {
			if arrivals++; at.Sub(began) < late {
				in++
			}
		}
		if arrivals < 150 || arrivals > 250 || in < 70 || in > 130 {
			t.Errorf("%d arrived, %d of them before the generator began", arrivals, in)
		}
		if got := time.Duration(sent.Max()); got < late*9/10 || got > late*11/10 {
			t.Errorf("the latest was sent %v late, want %v", got, late)
		}
	})
	// Told to stop meanwhile, it still sends what was drawn for a time before.
	synctest.Test(t, func(t *testing.T) {
		began, until := time.Now(), make(chan struct{})
		time.Sleep(late)
		close(until)
		arrivals := 0
		for at := range arrive(t.Context(), Load{Rate: rate, Until: until}, NewKeys(10, 10, 1), began, began.Add(time.Hour), newHistogram()) {
			if arrivals++; at.Sub(began) > late {
				t.Errorf("one arrived %v after it was told to stop", at.Sub(began)-late)
			}
		}
		if arrivals < 70 || arrivals > 130 {
			t.Errorf("%d arrived", arrivals)
		}
	})
}
