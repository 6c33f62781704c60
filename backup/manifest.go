package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// The names in a backup.
const (
	manifestFile = "manifest.json"
	hashFile     = "manifest.sha256"
	dbDir        = "db"
)

// pebbleVersion is that of go.mod; a test holds them together. It is no build info, because a
// binary of the user's may have none.
const pebbleVersion = "v2.1.7"

// stampEngine records what can read the backup's files: an older Pebble, or another comparer, cannot.
func stampEngine(m *messages.Manifest) {
	m.PebbleVersion = pebbleVersion
	m.PebbleFormat = uint64(store.PebbleFormat)
	m.Comparer = store.Comparer
}

// writeManifest writes the manifest and its hash into dir, fsynced, and returns the hash. The names are
// durable only after dir's own fsync.
func writeManifest(fs vfs.FS, dir string, m *messages.Manifest) (string, error) {
	// Marshalled once: protojson gives other bytes for the same message another time.
	data, err := protojson.MarshalOptions{Multiline: true}.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("marshal manifest: %w", err)
	}
	if len(data) > manifestLimit {
		return "", fmt.Errorf("write manifest: it would have %d B, maximum is %d B: %w", len(data), manifestLimit, messages.ErrExhausted)
	}
	sum := sha256.Sum256(data)
	hash := hex.EncodeToString(sum[:])
	if err := store.WriteSynced(fs, fs.PathJoin(dir, manifestFile), data); err != nil {
		return "", fmt.Errorf("write manifest: %w", err)
	}
	if err := store.WriteSynced(fs, fs.PathJoin(dir, hashFile), []byte(hashLine(hash))); err != nil {
		return "", fmt.Errorf("write hash of manifest: %w", err)
	}
	return hash, nil
}

// hashLine is all that hashFile holds: as sha256sum writes it, so that a person can check it with sha256sum -c.
func hashLine(hash string) string { return hash + "  " + manifestFile + "\n" }

// readManifest reads the manifest in dir and its hash, as far as it can: with an error the manifest
// may still be there (of a newer format, or not matching its hash), or not (unreadable).
func readManifest(fs vfs.FS, dir string) (*messages.Manifest, string, error) {
	data, err := disk.ReadFile(fs, fs.PathJoin(dir, manifestFile), manifestLimit)
	if err != nil {
		return nil, "", fmt.Errorf("read manifest: %w", err)
	}
	sum := sha256.Sum256(data)
	hash := hex.EncodeToString(sum[:])
	var m messages.Manifest
	// Fields of a newer format must not hide its version number.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &m); err != nil {
		return nil, hash, fmt.Errorf("parse manifest: %w: %w", messages.ErrDataLoss, err)
	}
	want, err := disk.ReadFile(fs, fs.PathJoin(dir, hashFile), hashLimit)
	if err != nil {
		return &m, hash, fmt.Errorf("read hash of manifest: %w", err)
	}
	switch {
	case !strings.HasPrefix(string(want), hash):
		return &m, hash, fmt.Errorf("check manifest: %w: %s does not match it", messages.ErrDataLoss, hashFile)
	case m.GetFormatVersion() > store.FormatVersion: // which may write another line
		return &m, hash, fmt.Errorf("check manifest: %w: %d, this version knows %d",
			store.ErrNewer, m.GetFormatVersion(), store.FormatVersion)
	case string(want) != hashLine(hash):
		return &m, hash, fmt.Errorf("check manifest: %w: %s holds its hash, and is not the line that was written", messages.ErrDataLoss, hashFile)
	}
	return &m, hash, nil
}
