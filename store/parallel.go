package store

import (
	"sync"
	"sync/atomic"
)

// Parallel calls do for each of n pieces of work, in their order, on up to so many goroutines: the calling one, and others that
// end before it returns. worker, from 0 on, says which, for what only one may use at a time. Once a piece has failed none is
// begun any more, and the error is that of the first in the order that failed: it does not depend on who was faster. What a
// piece panics with the calling goroutine panics with, when the others have ended.
func Parallel(workers, n int, do func(worker, i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var over atomic.Bool
	var thrown atomic.Pointer[any]
	work := func(worker int) {
		defer func() {
			if r := recover(); r != nil {
				over.Store(true)
				thrown.Store(&r)
			}
		}()
		for !over.Load() {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			if errs[i] = do(worker, i); errs[i] != nil {
				over.Store(true)
			}
		}
	}
	var group sync.WaitGroup
	for worker := 1; worker < min(workers, n); worker++ {
		group.Go(func() { work(worker) })
	}
	work(0)
	group.Wait()
	if r := thrown.Load(); r != nil {
		panic(*r)
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
