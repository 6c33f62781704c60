package gabiontest_test

import (
	"context"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/gabiontest"
)

// BenchmarkStart is what a test pays for a Gabion: start it and stop it again.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		k, err := gabiontest.New(actors.Config{Tables: []string{"task_queue"}})
		if err != nil {
			b.Fatal(err)
		}
		if err := k.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRestart is BenchmarkStart without the actor system, on files that are there.
func BenchmarkRestart(b *testing.B) {
	k := gabiontest.Start(b, "task_queue")
	for b.Loop() {
		k.Restart()
	}
}

// BenchmarkCrash is a power loss with a row, and the start after it.
func BenchmarkCrash(b *testing.B) {
	k := gabiontest.Start(b, "task_queue")
	for b.Loop() {
		if _, err := k.Gabion().Table("task_queue").Put(context.Background(), []byte("key"), []byte("value")); err != nil {
			b.Fatal(err)
		}
		k.Crash()
	}
}
