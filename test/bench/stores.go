package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/dgraph-io/badger/v4"
	"go.etcd.io/bbolt"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/bench"
	"github.com/gabiondb/gabion/store"
)

// cacheBytes is the block cache of every store that has one.
const cacheBytes = 64 << 20

// gabionStore is a Gabion of one table.
type gabionStore struct {
	*bench.Table
	g      *actors.Gabion
	system *actor.ActorSystem
	groups *groupFS
}

func openGabion(ctx context.Context, dir string, atCut bool) (*gabionStore, error) {
	quiet := slog.New(slog.DiscardHandler)
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }))
	groups := newGroupFS()
	config := actors.Config{Dir: dir, Tables: []string{"t"}, FS: groups, Logger: quiet, DisableSchedule: true, DisableDrill: true, CacheBytes: cacheBytes}
	if atCut {
		config.AtCut = config.Tables
	}
	g, err := actors.Start(ctx, system, config)
	if err != nil {
		return nil, err
	}
	return &gabionStore{Table: bench.NewTable(g, system, "t"), g: g, system: system, groups: groups}, nil
}

func (s *gabionStore) Close() error {
	err := s.g.Stop(context.Background())
	s.system.Shutdown()
	return err
}

// pebbleStore is raw Pebble with the options of Gabion's tables.
type pebbleStore struct{ db *pebble.DB }

func openPebble(dir string) (*pebbleStore, error) {
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	// The options of Gabion's tables, store/shared.go.
	o := &pebble.Options{
		Cache:                       cache,
		FormatMajorVersion:          store.PebbleFormat,
		MemTableSize:                4 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               64 << 20,
		MaxManifestFileSize:         8 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		Logger:                      quietPebble{},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(dir, o)
	return &pebbleStore{db}, err
}

// quietPebble logs nothing but what ends the process.
type quietPebble struct{}

func (quietPebble) Infof(string, ...any)              {}
func (quietPebble) Errorf(string, ...any)             {}
func (quietPebble) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (s *pebbleStore) Load(_ context.Context, k *bench.Keys) error {
	for i := uint64(0); i < k.Rows(); {
		b := s.db.NewBatch()
		for n := 0; i < k.Rows() && n < 1000; i, n = i+1, n+1 {
			key := bench.KeyOf(i)
			if err := b.Set(key, k.ValueOf(key), nil); err != nil {
				return err
			}
		}
		if err := b.Commit(pebble.Sync); err != nil {
			return err
		}
	}
	return nil
}

func (s *pebbleStore) Put(_ context.Context, key, value []byte) error {
	return s.db.Set(key, value, pebble.Sync)
}

func (s *pebbleStore) Get(_ context.Context, key []byte) ([]byte, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return bytes.Clone(value), closer.Close()
}

func (s *pebbleStore) Scan(_ context.Context, start []byte, limit int) (n int, err error) {
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: start})
	if err != nil {
		return 0, err
	}
	for valid := iter.First(); valid && n < limit; valid = iter.Next() {
		_, _ = bytes.Clone(iter.Key()), bytes.Clone(iter.Value())
		n++
	}
	return n, errors.Join(iter.Error(), iter.Close())
}

func (s *pebbleStore) Close() error { return s.db.Close() }

// boltStore is bbolt. Callers share transactions by Batch, as its documentation advises for many writers.
type boltStore struct{ db *bbolt.DB }

var bucket = []byte("t")

func openBolt(dir string) (*boltStore, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(dir+"/bolt.db", 0o600, nil)
	if err != nil {
		return nil, err
	}
	return &boltStore{db}, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucket)
		return err
	})
}

func (s *boltStore) Load(_ context.Context, k *bench.Keys) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		for i := range k.Rows() {
			key := bench.KeyOf(i)
			if err := tx.Bucket(bucket).Put(key, k.ValueOf(key)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *boltStore) Put(_ context.Context, key, value []byte) error {
	return s.db.Batch(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(key, value) })
}

func (s *boltStore) Get(_ context.Context, key []byte) (value []byte, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		value = bytes.Clone(tx.Bucket(bucket).Get(key))
		return nil
	})
	return value, err
}

func (s *boltStore) Scan(_ context.Context, start []byte, limit int) (n int, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		for key, value := c.Seek(start); key != nil && n < limit; key, value = c.Next() {
			_, _ = bytes.Clone(key), bytes.Clone(value)
			n++
		}
		return nil
	})
	return n, err
}

func (s *boltStore) Close() error { return s.db.Close() }

// badgerStore is Badger with durable writes.
type badgerStore struct{ db *badger.DB }

func openBadger(dir string) (*badgerStore, error) {
	db, err := badger.Open(badger.DefaultOptions(dir).WithSyncWrites(true).WithLogger(nil).WithBlockCacheSize(cacheBytes))
	return &badgerStore{db}, err
}

func (s *badgerStore) Load(_ context.Context, k *bench.Keys) error {
	b := s.db.NewWriteBatch()
	defer b.Cancel()
	for i := range k.Rows() {
		key := bench.KeyOf(i)
		if err := b.Set(key, k.ValueOf(key)); err != nil {
			return err
		}
	}
	return b.Flush()
}

func (s *badgerStore) Put(_ context.Context, key, value []byte) error {
	return s.db.Update(func(tx *badger.Txn) error { return tx.Set(key, value) })
}

func (s *badgerStore) Get(_ context.Context, key []byte) (value []byte, err error) {
	err = s.db.View(func(tx *badger.Txn) error {
		item, err := tx.Get(key)
		if err != nil {
			return err
		}
		value, err = item.ValueCopy(nil)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	return value, err
}

func (s *badgerStore) Scan(_ context.Context, start []byte, limit int) (n int, err error) {
	err = s.db.View(func(tx *badger.Txn) error {
		iter := tx.NewIterator(badger.DefaultIteratorOptions)
		defer iter.Close()
		for iter.Seek(start); iter.Valid() && n < limit; iter.Next() {
			_ = iter.Item().KeyCopy(nil)
			if _, err := iter.Item().ValueCopy(nil); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

func (s *badgerStore) Close() error { return s.db.Close() }

// open opens the store of a contender.
func open(ctx context.Context, kind, dir string) (bench.Store, error) {
	switch kind {
	case "gabion at_cut":
		return openGabion(ctx, dir, true)
	case "gabion exact":
		return openGabion(ctx, dir, false)
	case "pebble":
		return openPebble(dir)
	case "bbolt":
		return openBolt(dir)
	case "badger":
		return openBadger(dir)
	}
	return nil, fmt.Errorf("no store %q", kind)
}
