//go:build !race

package actors_test

const slower = 1
