package actors_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// unsynced refuses the fsync of every directory.
func (h *host) unsynced(err error) {
	h.fs.on(func(o fileOp) bool { return o.kind == "sync" }, func(o fileOp) error {
		if info, statErr := h.fs.FS.Stat(o.path); statErr != nil || !info.IsDir() {
			return nil
		}
		return &os.PathError{Op: "sync", Path: o.path, Err: err}
	})
}

// TestNoFsyncOfDirectories: where the file system has none, everything works, and health says what a crash may cost.
func TestNoFsyncOfDirectories(t *testing.T) {
	for _, refusal := range []error{syscall.EINVAL, syscall.ENOTSUP, syscall.ENOSYS} {
		t.Run(refusal.Error(), func(t *testing.T) {
			stoppedBubble(t, actors.Config{Keep: 1}, func(h *host) {
				h.unsynced(refusal)
				warnings := h.warnings()
				h.start()
				for _, key := range []string{"a", "b", "c"} {
					h.put("tasks", key, "v")
					h.wantRow(h.backup()["tasks"], backedUp)
				}
				if got := h.numbers("tasks"); got != "3" {
					t.Errorf("backups %s, want 3", got)
				}
				if proof, err := h.g.VerifyBackup(h.Context(), "tasks", ""); err != nil || proof.GetRows() != 3 {
					t.Errorf("proof = %v, %v", proof, err)
				}
				h.restore(&messages.RestoreTable{Table: "tasks"})
				h.put("tasks", "d", "v")
				h.stop()
				h.start()
				h.wantValue("tasks", "d", "v")
				if n := h.health("tasks").GetRestarts(); n != 0 {
					t.Errorf("restarts = %d", n)
				}
				health, err := h.g.Health(h.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, directory := range []string{"directory: no fsync of directories", "backup directory: no fsync of directories"} {
					has := func(text string) bool { return strings.HasPrefix(text, directory) }
					if !slices.ContainsFunc(health.GetLacking(), has) || !slices.ContainsFunc(health.GetConcerns(), has) {
						t.Errorf("health lacks %q, its concerns are %q", health.GetLacking(), health.GetConcerns())
					}
				}
				if n := warnings.with("file system lacks something"); n != 4 { // two directories, two starts
					t.Errorf("said %d times", n)
				}
			})
		})
	}
}

// TestNoHardLinks: health says what follows, which is no concern, and a run says nothing more.
func TestNoHardLinks(t *testing.T) {
	// Files are told apart, so that a backup would link those that the one before has.
	stoppedBubble(t, actors.Config{Keep: 2, FS: identityFS{vfs.NewMem()}}, func(h *host) {
		tried := 0
		h.fs.on(func(o fileOp) bool { return o.kind == "link" }, func(o fileOp) error {
			tried++
			return &os.LinkError{Op: "link", Old: "x", New: o.path, Err: syscall.EPERM}
		})
		warnings := h.warnings()
		h.start()
		tried = 0 // by the probes
		for i := range 6 {
			h.put("tasks", fmt.Sprint(i), strings.Repeat("v", 1000))
			h.wantRow(h.backup()["tasks"], backedUp)
		}
		health, err := h.g.Health(h.Context())
		if err != nil || len(health.GetLacking()) != 2 || health.GetGrade() != messages.Grade_GRADE_GREEN {
			t.Errorf("health %v lacks %q, its concerns are %q, %v", health.GetGrade(), health.GetLacking(), health.GetConcerns(), err)
		}
		if tried > 0 || warnings.with("") > 0 {
			t.Errorf("%d links were tried though none can be made; warnings %q", tried, warnings.texts)
		}
	})
}

// TestEverythingIsThere: a file system that has all says nothing, and a probe leaves nothing.
func TestEverythingIsThere(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		health, err := h.g.Health(h.Context())
		if err != nil || len(health.GetLacking()) > 0 {
			t.Errorf("health lacks %q, %v", health.GetLacking(), err)
		}
		for _, path := range h.tree(dir) {
			if strings.Contains(path, ".probe-") {
				t.Errorf("left %s", path)
			}
		}
	})
}

// TestNoRenameOver: nothing can be kept on such a file system, and the start says so.
func TestNoRenameOver(t *testing.T) {
	stoppedBubble(t, actors.Config{}, func(h *host) {
		h.fs.on(func(o fileOp) bool { return o.kind == "rename" && strings.HasSuffix(o.path, "/.probe-b") },
			func(o fileOp) error { return &os.LinkError{Op: "rename", Old: "x", New: o.path, Err: syscall.EEXIST} })
		_, err := actors.Start(h.Context(), h.system, h.config)
		if err == nil || !strings.Contains(err.Error(), "no rename over") || len(messages.Hints(err)) == 0 {
			t.Errorf("start = %v", err)
		}
	})
}
