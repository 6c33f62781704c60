package bench

import (
	"context"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// mostLate is how many arrivals may wait for a caller.
const mostLate = 1 << 20

// arrive sends the times at which operations arrive, from began to end, or until the load's Until is closed. They are drawn
// beforehand: neither callers who are late nor a timer that is, as on a machine that is too busy to wake this goroutine, make
// an operation arrive later, or not at all. Otherwise what took long would be asked less, and look faster. How late they are
// sent is recorded.
func arrive(ctx context.Context, l Load, keys *Keys, began, end time.Time, late *hdrhistogram.Histogram) <-chan time.Time {
	out := make(chan time.Time, mostLate)
	go func() {
		defer close(out)
		until := l.Until
		for drawn := began; ; {
			drawn = drawn.Add(time.Duration(keys.rng.ExpFloat64() / l.Rate * float64(time.Second)))
			select {
			case <-until:
				// What was drawn for a time before, and could not be sent yet, still arrives.
				if now := time.Now(); now.Before(end) {
					end = now
				}
				until = nil
			default:
			}
			if drawn.After(end) {
				return
			}
			if wait := time.Until(drawn); wait > 0 {
				select {
				case <-time.After(wait):
				case <-until:
					return
				case <-ctx.Done():
					return
				}
			}
			if l.Counts == nil || l.Counts(drawn) {
				_ = late.RecordValue(min(int64(time.Since(drawn)), mostLatency))
			}
			select {
			case out <- drawn:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
