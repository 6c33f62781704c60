// Package gabiontest is for the tests of programs that use Gabion: a real Gabion whose disk is memory, with
// restarts, power losses and faults on demand, and waits for events instead of sleeps.
//
//	func TestWorker(t *testing.T) {
//		k := gabiontest.Start(t, "task_queue", "mailbox")
//		worker := k.System().Root.Spawn(workerProps(k.Gabion().PID("task_queue")))
//		...
//		k.Crash() // what was acknowledged is there afterwards
//		...
//		heal := k.FailWrites("task_queue") // requests are answered UNAVAILABLE, until healed
//		...
//		heal()
//		k.WaitState("task_queue", messages.TableState_TABLE_STATE_OPEN, 5*time.Second)
//	}
//
// Start takes a test; New takes none, for examples. A program that calls actors.Start itself gets its file
// system from a Disk, and has the same faults and power losses. Stopping and starting a Gabion takes about a
// millisecond; the first start takes a few more, for proto.actor's system.
//
// # Virtual time
//
// Everything here works inside a testing/synctest bubble, where a month of scheduled backups takes as long as
// the backups do. Start the Kit, or make the Disk, within the bubble:
//
//	synctest.Test(t, func(t *testing.T) {
//		k := gabiontest.StartConfig(t, actors.Config{Tables: []string{"task_queue"}, Interval: 24 * time.Hour})
//		time.Sleep(30 * 24 * time.Hour)
//		...
//	})
//
// A bubble's time moves only while each of its goroutines waits for something of the bubble. A goroutine that
// waits for a mutex does not count as waiting, so a call of the disk that hangs while Pebble holds a mutex stops
// the bubble's time for good. HangSyncs is safe there, and so is Hang on files of backups; any other Hang is
// for tests outside of a bubble.
package gabiontest
