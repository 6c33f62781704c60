// Package ops runs a Gabion as a service and speaks to one that runs. It reads a configuration from flags, the
// environment and a file, starts an actor system by it, and stops it in time; it opens a socket on which a host
// answers, connects to it, and gives access to a directory whether a host runs or not.
package ops
