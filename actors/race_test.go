//go:build race

package actors_test

// slower is how much longer a hot loop takes under the race detector, roughly.
const slower = 10
