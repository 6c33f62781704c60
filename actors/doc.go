// Package actors is Gabion's Go API: durable tables for an actor system, each behind an owner actor,
// with a coordinator that backs them up.
//
// Start spawns the tree. Any actor then sends messages.Put, Get, Scan, Write and so on to the PID of a
// table's owner and is answered with a message of that package, or a *messages.Failure; the handle that
// Gabion.Table returns does the same with Go calls and errors, and Typed gives it keys and values of Go
// types. A write is answered after its fsync, and no read ever shows what a crash could still take back.
//
// Requests that one sender sends to one PID take effect in the order in which they were sent, and a read among them sees
// the writes before it. So do the calls on one handle. Between the two there is no order: a handle's Get right after a
// message to the owner's PID may come first and not see its write. Wait for the answer to the message, or send the Get to
// the PID as well. What was answered, and what a call returned, every later read sees, whatever way it takes.
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
