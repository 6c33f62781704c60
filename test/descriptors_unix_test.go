//go:build linux || darwin

package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// fewDescriptors is set in the process that lowers its own limit, which cannot be raised again.
const fewDescriptors = "GABION_TEST_FEW_DESCRIPTORS"

// TestSoftDescriptorLimitIsRaised: a program that is started with a low soft limit has the hard one, which Gabion relies on.
func TestSoftDescriptorLimitIsRaised(t *testing.T) {
	if os.Getenv(fewDescriptors) != "" {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < limit.Max-1 || limit.Max != 512 {
			t.Errorf("soft limit %d, hard limit %d: %v", limit.Cur, limit.Max, err)
		}
		return
	}
	inProcess(t, "sh", "-c", `ulimit -Sn 128 && ulimit -Hn 512 && exec "$0" "$@"`, os.Args[0])
}

// TestFewDescriptors: a start whose tables cannot all be open says what they need, and how to allow it. When descriptors
// run out later, what needs one says so, what is open goes on, and all is well once there are some again.
func TestFewDescriptors(t *testing.T) {
	if os.Getenv(fewDescriptors) == "" {
		inProcess(t, os.Args[0])
		return
	}
	const limit = 256
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Fatal(err)
	}
	system := quietSystem()
	defer system.Shutdown()
	var out bytes.Buffer
	config := actors.Config{Dir: t.TempDir() + "/many", DisableSchedule: true}
	for i := range 40 {
		config.Tables = append(config.Tables, fmt.Sprintf("t%02d", i))
	}
	_, err := actors.Start(t.Context(), system, config)
	if !errors.Is(err, store.ErrDescriptors) {
		t.Fatalf("start of 40 tables: %v", err)
	}
	wantParts(t, err.Error(), "40 tables need 424", "limit is 256")
	wantParts(t, strings.Join(messages.Hints(err), "; "), "ulimit -n 1448", "LimitNOFILE=1448")

	config.Tables = config.Tables[:12]
	config.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	g, err := actors.Start(t.Context(), system, config)
	if err != nil {
		t.Fatal(err)
	}
	wantParts(t, out.String(), "limit of file descriptors is low", "limit=256", "need=1196")
	if err := g.CloseTable(t.Context(), "t00"); err != nil {
		t.Fatal(err)
	}
	runOut(t, g)

	for _, table := range []string{"t00", "extra"} {
		if err := errors.Join(g.CloseTable(t.Context(), table), g.OpenTable(t.Context(), table)); err != nil {
			t.Errorf("open %s with descriptors: %v", table, err)
		}
	}
	if err := g.Stop(context.Background()); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// runOut takes all descriptors, then gives one after another free, until a table can be created.
func runOut(t *testing.T, g *actors.Gabion) {
	taken := takeDescriptors(t)
	defer func() {
		for _, f := range taken {
			_ = f.Close()
		}
	}()
	refusals := 0
	for i := 0; ; i++ {
		errs := map[string]error{
			"open":   g.OpenTable(t.Context(), "t00"),
			"create": create(t, g),
		}
		for what, err := range errs {
			if err != nil {
				refusals++
				wantParts(t, err.Error(), "too many open files")
				wantParts(t, strings.Join(messages.Hints(err), "; "), "ulimit -n", "LimitNOFILE=")
			} else if what == "create" && i == 0 {
				t.Error("a table was created without a descriptor")
			}
		}
		for _, table := range []string{"t01", "t11"} {
			if _, err := g.Table(table).Put(t.Context(), []byte("key"), fmt.Append(nil, i)); err != nil {
				t.Errorf("put to an open table with %d descriptors: %v", i, err)
			}
		}
		if errs["create"] == nil {
			break
		}
		if len(taken) == 0 || t.Failed() {
			t.Fatalf("never created: %v", errs["create"])
		}
		_ = taken[0].Close()
		taken = taken[1:]
	}
	if refusals < 4 {
		t.Errorf("%d refusals only", refusals)
	}
}

// create creates a table, or opens it where descriptors ran out right after it was made.
func create(t *testing.T, g *actors.Gabion) error {
	err := g.CreateTable(t.Context(), "extra", true)
	if err != nil && strings.Contains(err.Error(), "exists already") {
		err = g.OpenTable(t.Context(), "extra")
	}
	return err
}

// takeDescriptors opens files until no more can be.
func takeDescriptors(t *testing.T) (taken []io.Closer) {
	t.Helper()
	for {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			return taken
		}
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, f)
	}
}

// inProcess runs the test that calls it in a process of its own, by a command that its flags are added to.
func inProcess(t *testing.T, command ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	process := exec.CommandContext(ctx, command[0], append(command[1:], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=50s")...)
	process.Env = append(os.Environ(), fewDescriptors+"=1")
	out, err := process.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
	}
}

func wantParts(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
}
