package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
)

// What a server acknowledged over its socket is there after its end, whatever ended it, and each request that was not
// acknowledged has said why: that it was not written, or that nobody knows.
func TestAcknowledgedSurvives(t *testing.T) {
	for name, end := range map[string]os.Signal{"drained": syscall.SIGTERM, "killed": os.Kill} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			s := &served{grown: make(chan struct{}), ended: make(chan struct{})}
			s.cmd = exec.Command("gabion", "serve", "--dir", dir, "--tables", "fruit", "--disable-schedule")
			s.cmd.Stderr = s
			if err := s.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			go func() {
				defer close(s.ended)
				_ = s.cmd.Wait() // how it ended is no matter here
			}()
			if found, log := s.logged(regexp.MustCompile("msg=ready")); !found {
				t.Fatalf("not ready:\n%s", log)
			}
			client, err := ops.Dial(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			const writers, enough = 8, 50
			acknowledged := make([]int, writers)
			var busy, all sync.WaitGroup
			busy.Add(writers)
			for w := range writers {
				all.Go(func() {
					for n := 0; ; n++ {
						key := fmt.Sprintf("%d/%d", w, n)
						_, err := client.Table("fruit").Put(context.Background(), []byte(key), []byte(key))
						if n == enough {
							busy.Done()
						}
						if err == nil {
							acknowledged[w] = n + 1
							continue
						}
						if n < enough || !errors.Is(err, messages.ErrUnavailable) && !errors.Is(err, ops.ErrNoServer) {
							t.Errorf("put %s: %v", key, err)
						}
						if n >= enough {
							return
						}
					}
				})
			}
			busy.Wait()
			if err := s.cmd.Process.Signal(end); err != nil {
				t.Error(err)
			}
			all.Wait()
			<-s.ended
			session, err := ops.Open(t.Context(), ops.OpenOptions{Dir: dir, Tables: []string{"fruit"}})
			if err != nil {
				t.Fatal(err)
			}
			for w, count := range acknowledged {
				for n := range count {
					key := fmt.Sprintf("%d/%d", w, n)
					if value, err := session.Table("fruit").Get(t.Context(), []byte(key)); err != nil || string(value) != key {
						t.Fatalf("%s was acknowledged, and is %q, %v", key, value, err)
					}
				}
			}
			if err := session.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
