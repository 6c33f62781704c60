//go:build !windows

package ops

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// A run whose disk hangs does not hold up the end of the service: who waits for it, or for the last backup of a drop,
// is told that the server stops. The run goes on.
func TestCloseDuringBackup(t *testing.T) {
	for name, ask := range map[string]func(ctx context.Context, c *Client) error{
		"backup": func(ctx context.Context, c *Client) error {
			_, err := c.Backup(ctx, &messages.BackupAll{})
			return err
		},
		"drop": func(ctx context.Context, c *Client) error { return c.Drop(ctx, &messages.DropTable{Table: "fruit"}) },
	} {
		t.Run(name, func(t *testing.T) {
			h, c := serving(t)
			if _, err := h.BackupAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			manifests, err := filepath.Glob(filepath.Join(h.dir, "backups", "fruit", "0*", "manifest.json"))
			if err != nil || len(manifests) != 1 {
				t.Fatalf("manifests are %v, %v", manifests, err)
			}
			// Opening it waits for a writer.
			if err := errors.Join(os.Remove(manifests[0]), syscall.Mkfifo(manifests[0], 0o600)); err != nil {
				t.Fatal(err)
			}
			begun := make(chan struct{})
			defer h.Subscribe(func(event proto.Message) {
				if _, ok := event.(*messages.BackupStarted); ok {
					close(begun)
				}
			})()
			asked := make(chan error, 1)
			go func() { asked <- ask(t.Context(), c) }()
			<-begun
			h.close(t)
			if err := <-asked; !errors.Is(err, messages.ErrUnavailable) || !strings.Contains(err.Error(), "stopping") {
				t.Errorf("asked for a %s: %v", name, err)
			}
			writer, err := os.OpenFile(manifests[0], os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			// Whoever reads it from now on finds an end.
			if err := errors.Join(os.Remove(manifests[0]), writer.Close()); err != nil {
				t.Fatal(err)
			}
		})
	}
}
