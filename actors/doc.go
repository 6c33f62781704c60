// Package actors is Gabion's Go API: durable tables for an actor system, each behind an owner actor,
// with a coordinator that backs them up.
//
// Start spawns the tree. Any actor then sends messages.Put, Get, Scan, Write and so on to the PID of a
// table's owner and is answered with a message of that package, or a *messages.Failure; the handle that
// Gabion.Table returns does the same with Go calls and errors, and Typed gives it keys and values of Go
// types. A write is answered after its fsync, and no read ever shows what a crash could still take back.
//
//	host's root context, or any actor of the host
//	└── gabion            supervisor
//	    ├── task_queue    owner ── cell {store, committer, acker, pending}
//	    └── backup        coordinator ── runner
//
// An owner keeps no state of its own: one that panics is restarted at once with its PID, its queue and its
// cell. The same holds for the coordinator and its runner. Everything of proto.actor stays
// inside this package, which touches no file but through packages store and backup.
package actors
