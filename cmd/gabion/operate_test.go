//go:build operate

package main

import (
	"path/filepath"
	"testing"
)

// TestOperate replays docs/operate.md, which needs more than Go.
func TestOperate(t *testing.T) {
	docs, err := filepath.Abs("../../docs")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GABION_DOCS", docs)
	replay(t, "../../docs/operate.md")
}
