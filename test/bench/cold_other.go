//go:build !linux

package main

import "errors"

// evict is not done here.
func evict(string) error { return errors.New("the page cache can be dropped on Linux only") }
