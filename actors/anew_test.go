package actors_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// identityFS is a file system in memory that tells files apart: two names are one file when they share the bytes.
type identityFS struct{ *vfs.MemFS }

func (fs identityFS) Identity(path string) (*messages.FileIdentity, error) {
	info, err := fs.Stat(path)
	if err != nil {
		return nil, err
	}
	data, err := fs.UnsafeGetFileDataBuffer(path)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	return &messages.FileIdentity{Device: "memory", Inode: uint64(reflect.ValueOf(data).Pointer()), Size: info.Size(), Mtime: info.ModTime().UnixNano()}, nil
}

// inodes are the names and inodes of a backup's sstables.
func (h *host) inodes(table, id string) (inodes []string) {
	h.Helper()
	path := h.backupPath(table, id)
	names, err := h.fs.List(path)
	if err != nil {
		h.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		identity, err := store.Identify(h.fs, path+"/"+name)
		if err != nil {
			h.Fatal(err)
		}
		inodes = append(inodes, fmt.Sprint(name, " ", identity.GetInode()))
	}
	return inodes
}

// TestBackupAnewIsIndependent: a backup that is taken because the newest turned red shares no file with what lies there, though an
// older one that nothing is known against has some of them.
func TestBackupAnewIsIndependent(t *testing.T) {
	bubble(t, drilling(actors.Config{FS: identityFS{vfs.NewMem()}}), func(h *host) {
		var links atomic.Int32
		h.fs.on(under(backups+"/tasks", "link"), func(fileOp) error { links.Add(1); return nil })
		for _, key := range strings.Fields("a b c d e f g h") {
			h.put("tasks", key, strings.Repeat(key, 1000))
		}
		var old, both []string
		var second string
		// A compaction beside the cut leaves nothing to share.
		for i := 0; links.Load() == 0; i++ {
			if i == 5 {
				t.Fatalf("no backup shares a file with the one before: %v", h.tree(backups+"/tasks"))
			}
			h.settle()
			old = both
			h.put("tasks", fmt.Sprint(i), strings.Repeat("i", 1000))
			second = h.backup("tasks")["tasks"].GetBackupId()
			both = h.inodes("tasks", second)
		}
		pass(time.Minute)
		links.Store(0)
		own := slices.IndexFunc(both, func(inode string) bool { return !slices.Contains(old, inode) })
		name, _, _ := strings.Cut(both[own], " ")
		h.damage(h.backupPath("tasks", second) + "/" + name)
		pass(25 * time.Hour)
		h.settle()
		list, err := h.g.ListBackups(h.Context(), "tasks")
		if err != nil || len(list.GetBackups()) < 3 {
			t.Fatalf("backups %v, %v, want one more", list.GetBackups(), err)
		}
		anew := list.GetBackups()[0]
		if anew.GetProof().GetVerdict() != messages.Verdict_VERDICT_PROVEN || list.GetBackups()[1].GetProof().GetVerdict() != messages.Verdict_VERDICT_RED ||
			list.GetBackups()[2].GetProof().GetVerdict() != messages.Verdict_VERDICT_PROVEN {
			t.Fatalf("backups %v", list.GetBackups())
		}
		for _, inode := range h.inodes("tasks", anew.GetBackupId()) {
			if slices.Contains(both, inode) || links.Load() != 0 {
				t.Errorf("the backup anew shares %s, and was made by %d links", inode, links.Load())
			}
		}
		if anew.GetSharedBytes() != 0 {
			t.Errorf("the backup anew shares %d B", anew.GetSharedBytes())
		}
	})
}
