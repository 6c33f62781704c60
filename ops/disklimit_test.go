package ops

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestAskDisk: a disk that hangs is given up with an error that names what was looked at, and its answer still counts later.
func TestAskDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		found := errors.New("found something")
		healed := make(chan struct{})
		asked := AskDisk("/data", func() error { <-healed; return found })
		start := time.Now()
		err := asked.Within(DiskLimit)
		if !errors.Is(err, messages.ErrDeadline) || !strings.Contains(err.Error(), "/data") || len(messages.Hints(err)) == 0 ||
			time.Since(start) != DiskLimit {
			t.Errorf("hung for %v: %v", time.Since(start), err)
		}
		close(healed)
		if err := asked.Within(DiskLimit); !errors.Is(err, found) {
			t.Errorf("healed: %v", err)
		}
		if value, err := within(time.Second, "/data", func() (int, error) { return 7, found }); value != 7 || !errors.Is(err, found) {
			t.Errorf("value %d, %v", value, err)
		}
		hung := make(chan struct{})
		if value, err := within(time.Second, "/data", func() (int, error) { <-hung; return 7, nil }); value != 0 || !errors.Is(err, messages.ErrDeadline) {
			t.Errorf("hung: value %d, %v", value, err)
		}
		close(hung)
	})
}

// TestHTTPAnswersBeforeTheDiskDoes: a start that waits for the first look at its disk lives and is not ready, and ends with what
// that look finds.
func TestHTTPAnswersBeforeTheDiskDoes(t *testing.T) {
	address, healed, found := freeAddress(t), make(chan struct{}), errors.New("found something")
	config := &Config{Gabion: actors.Config{Dir: filepath.Join(t.TempDir(), "d"), Tables: []string{"fruit"}, DisableSchedule: true},
		Web: WebConfig{Address: address}, Before: func(context.Context) error { <-healed; return found }}
	started := make(chan error, 1)
	go func() {
		_, err := Start(t.Context(), config, nil)
		started <- err
	}()
	get := func(path string) (int, string) {
		response, err := http.Get("http://" + address + path)
		if err != nil {
			return 0, ""
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Error(err)
		}
		return response.StatusCode, string(body)
	}
	waitFor(t, func() bool { status, _ := get("/healthz"); return status == http.StatusOK })
	if status, body := get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, config.Gabion.Dir) {
		t.Errorf("ready = %d %s", status, body)
	}
	close(healed)
	if err := <-started; !errors.Is(err, found) {
		t.Errorf("start: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}
