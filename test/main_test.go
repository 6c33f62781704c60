package test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		os.Exit(liveAsVictim(dir))
	}
	if dir := os.Getenv(killRestoreDir); dir != "" {
		os.Exit(restoreForEver(dir))
	}
	goleak.VerifyTestMain(m)
}
