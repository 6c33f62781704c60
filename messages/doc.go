// Package messages holds every record that Gabion sends or writes, generated from proto/,
// and the few helpers a sender needs: the errors a Failure matches, the limits a request
// must keep, the rule for table names, and hints for people.
//
// Messages travel by pointer inside one process: never change one after sending it.
package messages
