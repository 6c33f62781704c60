// Package ops runs a Gabion as a service. It reads a configuration from flags, the environment and a file, starts
// an actor system by it, and stops it in time.
package ops
