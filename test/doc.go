// Package test holds the tests that span packages: the house rules, the model under crashes and panics, the
// crash sweep of a whole backup. Each random test prints its seed and takes it back by a flag.
package test
