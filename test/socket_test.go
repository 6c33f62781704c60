package test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/gabiontest"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
)

// TestSocketInMemory: a Gabion in memory has no directory for a socket, and the error says so.
func TestSocketInMemory(t *testing.T) {
	k := gabiontest.Start(t, "fruit")
	_, err := ops.ListenSocket(t.Context(), k.Gabion(), ops.SocketOptions{})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(strings.Join(messages.Hints(err), ""), "Config.FS must be nil") {
		t.Errorf("listen: %v, hints %q", err, messages.Hints(err))
	}
}
