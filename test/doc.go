// Package test holds the tests that span packages: the house rules, the model under crashes and panics, the crash
// sweeps of whole backups, drops and creations, and the process that is killed. Each random test prints its seed and takes it
// back, by a flag or from the environment.
package test
