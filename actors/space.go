package actors

import (
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/store"
)

// spaceEvery is how often the disk's free space is asked for, while anybody wants to know.
const spaceEvery = time.Second

// space knows whether the disk of the tables is short of room. It asks while tables write, or wait for room, and never
// otherwise.
type space struct {
	fs      vfs.FS
	path    string
	reserve uint64
	logger  *slog.Logger

	asking   sync.Mutex // held while the disk is asked: one that hangs is asked once
	patience patience

	mu    sync.Mutex
	at    time.Time // of the last answer
	room  store.Room
	known bool
	// waiting are told when there is room again; timer is armed while there are any.
	waiting map[*cell]func()
	timer   *time.Timer
	failed  bool
}

// short tells whether the disk has less than the reserve free, and what it has. It may wait for the disk, for 5 s at
// most. On a file system that does not know its free space it is never short.
func (s *space) short() (store.Room, bool) {
	s.ask()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room, s.known && s.room.Short()
}

func (s *space) ask() {
	s.mu.Lock()
	fresh := time.Since(s.at) < spaceEvery
	s.mu.Unlock()
	if fresh || !s.asking.TryLock() {
		return // what is known serves
	}
	defer s.asking.Unlock()
	type answer struct {
		room  store.Room
		known bool
	}
	a, err := patient(&s.patience, listTimeout, func() (answer, error) {
		room, known, err := store.RoomAt(s.fs, s.path, s.reserve)
		return answer{room, known}, err
	})
	room, known := a.room, a.known
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !s.failed {
		s.logger.Warn("free space of the disk cannot be told: writes go on until it is full", "error", err)
	}
	s.at, s.room, s.known, s.failed = time.Now(), room, known && err == nil, err != nil
}

// await calls tell once there is room, until then c is one of those that wait. It takes the place of an earlier one.
func (s *space) await(c *cell, tell func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = make(map[*cell]func())
	}
	s.waiting[c] = tell
	if s.timer == nil {
		s.timer = time.AfterFunc(spaceEvery, s.look)
	}
}

// look is the timer's.
func (s *space) look() {
	_, short := s.short()
	s.mu.Lock()
	if short {
		s.timer.Reset(spaceEvery)
		s.mu.Unlock()
		return
	}
	told := s.waiting
	s.waiting, s.timer = nil, nil
	s.mu.Unlock()
	for _, tell := range told {
		tell()
	}
}

// stop lets nobody be told any more.
func (s *space) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.waiting, s.timer = nil, nil
	}
}
