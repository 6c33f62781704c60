package store

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestParallel does each piece once, in their order, on as many goroutines as it may, the calling one alone among fewer than two.
func TestParallel(t *testing.T) {
	for workers := range 5 {
		var mu sync.Mutex
		var begun []int
		used := map[int]bool{}
		most, now := 0, 0
		const pieces = 40
		err := Parallel(workers, pieces, func(worker, i int) error {
			mu.Lock()
			begun, used[worker] = append(begun, i), true
			now++
			most = max(most, now)
			mu.Unlock()
			runtime.Gosched()
			mu.Lock()
			now--
			mu.Unlock()
			return nil
		})
		done := map[int]bool{}
		for at, i := range begun {
			done[i] = true
			if workers < 2 && at != i {
				t.Errorf("%d workers: piece %d came as number %d", workers, i, at)
			}
		}
		if err != nil || len(begun) != pieces || len(done) != pieces || most > max(1, workers) || len(used) > max(1, workers) {
			t.Errorf("%d workers: %v, %d begun, %d different, %d at once, by %v", workers, err, len(begun), len(done), most, used)
		}
	}
	if err := Parallel(3, 0, func(int, int) error { return errors.New("nothing is to be done") }); err != nil {
		t.Error(err)
	}
}

// TestParallelIsParallel: each of the workers waits for all others.
func TestParallelIsParallel(t *testing.T) {
	const workers = 3
	var meet sync.WaitGroup
	meet.Add(workers)
	err := Parallel(workers, workers, func(_, i int) error {
		meet.Done()
		met := make(chan struct{})
		go func() {
			meet.Wait()
			close(met)
		}()
		select {
		case <-met:
			return nil
		case <-time.After(10 * time.Second):
			return fmt.Errorf("piece %d is alone", i)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestParallelFails with the first error in the order of the pieces, and begins nothing after it.
func TestParallelFails(t *testing.T) {
	for workers := range 4 {
		var begun atomic.Int64
		second := make(chan struct{})
		err := Parallel(workers, 100, func(_, i int) error {
			begun.Add(1)
			switch {
			case i == 4 && workers > 1:
				<-second // slower than the next
				return errors.New("piece 4")
			case i == 4:
				return errors.New("piece 4")
			case i == 5:
				close(second)
				return errors.New("piece 5")
			}
			return nil
		})
		if err == nil || err.Error() != "piece 4" {
			t.Errorf("%d workers: %v", workers, err)
		}
		if n := int(begun.Load()); n < 5 || n > 6+workers {
			t.Errorf("%d workers: %d were begun", workers, n)
		}
	}
}

// TestParallelPanics on the calling goroutine, when nobody is at work any more.
func TestParallelPanics(t *testing.T) {
	for workers := range 4 {
		var at atomic.Int64
		func() {
			defer func() {
				if r := recover(); r != "piece 3" {
					t.Errorf("%d workers: recovered %v", workers, r)
				}
				if n := at.Load(); n != 0 {
					t.Errorf("%d workers: %d are at work", workers, n)
				}
			}()
			err := Parallel(workers, 50, func(_, i int) error {
				at.Add(1)
				defer at.Add(-1)
				if i == 3 {
					panic("piece 3")
				}
				runtime.Gosched()
				return nil
			})
			t.Errorf("%d workers: returned %v", workers, err)
		}()
	}
}
