package bench

import (
	"bytes"
	"context"
)

// Store is a key-value store that loads are run against. A method may be called by any number of goroutines, but for Load and
// Close. Every write is durable when it returns.
type Store interface {
	// Load puts the rows of keys that are there from the start.
	Load(ctx context.Context, keys *Keys) error
	// Put stores a row, whether or not there is one.
	Put(ctx context.Context, key, value []byte) error
	// Get returns nil for a key that there is not.
	Get(ctx context.Context, key []byte) ([]byte, error)
	// Scan reads limit rows from start on, and returns how many there were.
	Scan(ctx context.Context, start []byte, limit int) (int, error)
	// Close ends what the store has begun.
	Close() error
}

// Puts stores fresh rows.
func Puts(s Store) func(context.Context, *Keys) (int, error) {
	return func(ctx context.Context, k *Keys) (int, error) { return 1, insert(ctx, s, k) }
}

// Gets reads rows, each as often as the others.
func Gets(s Store) func(context.Context, *Keys) (int, error) {
	return func(ctx context.Context, k *Keys) (int, error) {
		key := k.Uniform()
		value, err := s.Get(ctx, key)
		if err == nil && !bytes.Equal(value, k.ValueOf(key)) {
			err = errWrongValue
		}
		return 1, err
	}
}

// Scans reads up to 100 rows that follow one another.
func Scans(s Store) func(context.Context, *Keys) (int, error) {
	return func(ctx context.Context, k *Keys) (int, error) { return 1, scan(ctx, s, k) }
}

// YCSB are the core workloads of the Yahoo! Cloud Serving Benchmark (Cooper et al., SoCC 2010), by letter. An update is a put
// of a row that is there.
var YCSB = map[string]func(Store) func(context.Context, *Keys) (int, error){
	"A": mix(0.5, read, update),
	"B": mix(0.95, read, update),
	"C": mix(1, read, update),
	"D": mix(0.95, readLatest, insert),
	"E": mix(0.95, scan, insert),
	"F": mix(0.5, read, modify),
}

type operation func(context.Context, Store, *Keys) error

// mix carries out often in so many of all cases, and seldom in the others.
func mix(share float64, often, seldom operation) func(Store) func(context.Context, *Keys) (int, error) {
	return func(s Store) func(context.Context, *Keys) (int, error) {
		return func(ctx context.Context, k *Keys) (int, error) {
			if k.rng.Float64() < share {
				return 1, often(ctx, s, k)
			}
			return 1, seldom(ctx, s, k)
		}
	}
}

func read(ctx context.Context, s Store, k *Keys) error {
	_, err := s.Get(ctx, k.Zipfian())
	return err
}

func readLatest(ctx context.Context, s Store, k *Keys) error {
	_, err := s.Get(ctx, k.Latest())
	return err
}

func update(ctx context.Context, s Store, k *Keys) error { return put(ctx, s, k, k.Zipfian()) }
func insert(ctx context.Context, s Store, k *Keys) error { return put(ctx, s, k, k.Fresh()) }

func put(ctx context.Context, s Store, k *Keys, key []byte) error {
	return s.Put(ctx, key, k.ValueOf(key))
}

// longestScan is YCSB's; lengths are uniform.
const longestScan = 100

func scan(ctx context.Context, s Store, k *Keys) error {
	_, err := s.Scan(ctx, k.Zipfian(), 1+k.N(longestScan))
	return err
}

func modify(ctx context.Context, s Store, k *Keys) error {
	key := k.Zipfian()
	if _, err := s.Get(ctx, key); err != nil {
		return err
	}
	return put(ctx, s, k, key)
}
