package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// VerifyOptions configures Verify. The zero value is usable.
type VerifyOptions struct {
	// By says what asked, and is kept in the proof: "verify", "drill", "restore". Empty means "verify".
	By string
	// Progress, unless nil, is called with the bytes read since the last call, at least once per MiB or 100 rows, by one
	// goroutine at a time. It may block, to limit the rate.
	Progress func(bytes int64)
	// Workers is on how many goroutines files are read, and rows counted, at once. Zero means one, the calling one: what is read
	// beside a table's own work should leave it the processors.
	Workers int
}

// Verified is what a Verify came to.
type Verified struct {
	Proof *messages.Proof
	// Unkept says why the proof holds and is not on the disk, nil where it is, or where nothing is kept. Until then, a
	// backup that was found red counts as red for as long as the Directory is open. A backup that was proven counts as
	// never verified.
	Unkept error
	// Neighbours are the backups of the table that hold the damaged file by a hard link, and are red with this one.
	Neighbours []string
}

// Verify proves that a backup restores, or finds it red, and keeps that as a proof. It hashes every file against the
// manifest first. Only files that the manifest names are opened, in their place, without a byte written. Then it reads
// every block and every row and recomputes position, count, bytes and fingerprint.
//
// A red backup is no error, and neither is a proof that could not be kept (Verified.Unkept). An error means that there
// is no verdict: ctx ended, the backup is missing (messages.ErrNotFound), or it has a newer format (store.ErrNewer). So
// it is where the disk failed otherwise than by damage of the backup's files. A file that exists and cannot be read
// (EIO) is damage.
//
// Where the directory is open read-only the proof is returned, and not kept. Any number may run at once, beside all else.
func (d *Directory) Verify(ctx context.Context, table, id string, o VerifyOptions) (Verified, error) {
	verified, err := d.verify(ctx, table, id, o)
	if err != nil {
		return Verified{}, fmt.Errorf("verify backup %s of table %q: %w", id, table, err)
	}
	return verified, nil
}

func (d *Directory) verify(ctx context.Context, table, id string, o VerifyOptions) (Verified, error) {
	found, err := d.Find(table, id)
	if err != nil {
		return Verified{}, err
	}
	defer d.Use(table, found.ID)()
	v := d.newVerification(found, o)
	b, err := d.reread(found)
	if err != nil {
		return Verified{}, err
	}
	if errors.Is(b.Fault, store.ErrNewer) {
		return Verified{}, messages.WithHint(b.Fault, newerHint)
	}
	v.b = b
	if err = b.faulty(); err == nil {
		err = v.files(ctx)
	}
	if err == nil {
		err = v.database(ctx, d.fs.PathJoin(b.Path, dbDir))
	}
	return d.conclude(v, err)
}

// reread reads a backup that is in use now: before, retention may have removed it.
func (d *Directory) reread(b Backup) (Backup, error) {
	exists, err := store.Exists(d.fs, b.Path)
	if err != nil {
		return Backup{}, err
	}
	if !exists {
		return Backup{}, fmt.Errorf("it is gone: %w", messages.ErrNotFound)
	}
	return d.read(b.Table, b.ID), nil
}

// verification is one Verify, or the part of a Restore that is one.
type verification struct {
	d     *Directory
	b     Backup
	proof *messages.Proof
	// copiers are one for each worker.
	copiers []*copier

	mu   sync.Mutex // held to count bytes, and to tell of them
	tell func(int64)
}

func (d *Directory) newVerification(b Backup, o VerifyOptions) *verification {
	v := &verification{d: d, b: b, tell: o.Progress}
	if v.tell == nil {
		v.tell = func(int64) {}
	}
	if o.By == "" {
		o.By = "verify"
	}
	v.proof = &messages.Proof{FormatVersion: store.FormatVersion, Table: b.Table, BackupId: b.ID, By: o.By,
		Started: timestamppb.Now()}
	for range max(1, o.Workers) {
		v.copiers = append(v.copiers, &copier{fs: d.fs, progress: v.progress})
	}
	return v
}

func (v *verification) progress(bytes int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.proof.Bytes += bytes
	v.tell(bytes)
}

// files hashes every file of the backup, and looks for one too many.
func (v *verification) files(ctx context.Context) error {
	return v.each(func(c *copier, entry *messages.FileEntry) (int64, string, error) {
		return c.hash(ctx, v.d.fs.PathJoin(v.b.Path, dbDir, entry.GetName()), entry.GetSize())
	})
}

// each has read go through every file of the backup, and compares what it returns with the manifest.
func (v *verification) each(read func(c *copier, entry *messages.FileEntry) (size int64, sum string, err error)) error {
	db := v.d.fs.PathJoin(v.b.Path, dbDir)
	names, err := list(v.d.fs, db)
	switch {
	case store.Unreadable(err):
		return damaged(dbDir, "it cannot be read: %w", err)
	case store.WrongKind(err):
		return damaged(dbDir, "%w", noDirectory(err))
	}
	if err != nil {
		return err
	}
	files := v.b.Manifest.GetFiles()
	err = store.Parallel(len(v.copiers), len(files), func(worker, i int) error {
		name := files[i].GetName()
		if !slices.Contains(names, name) {
			return damaged(dbDir+"/"+name, "it is missing")
		}
		size, sum, err := read(v.copiers[worker], files[i])
		return compareFile(files[i], size, sum, err)
	})
	if err != nil {
		return err
	}
	return v.b.strays(v.d.fs, names)
}

// strays returns damage for the first file that the backup was not made with. In db/ such a file can change what Pebble opens.
// names are those in db/.
func (b Backup) strays(fs vfs.FS, names []string) error {
	for _, name := range names {
		if name == pebbleLock {
			// Pebble leaves it, without content, when somebody opens db/ with Pebble.
			if info, err := fs.Stat(fs.PathJoin(b.Path, dbDir, name)); err == nil && (info.Size() > 0 || info.IsDir()) {
				return damaged(dbDir+"/"+name, "it is not empty")
			}
		} else if b.entry(dbDir+"/"+name) == nil {
			return damaged(dbDir+"/"+name, "it is not in the manifest: move it elsewhere, and verify again")
		}
	}
	beside, err := list(fs, b.Path)
	if err != nil {
		return err
	}
	for _, name := range beside {
		if name != manifestFile && name != hashFile && name != dbDir {
			return damaged(name, "it is no part of the backup: move it elsewhere, and verify again")
		}
	}
	return nil
}

// compareFile returns what is wrong with a file that was read.
func compareFile(entry *messages.FileEntry, size int64, sum string, err error) error {
	file := dbDir + "/" + entry.GetName()
	var target *targetError
	switch {
	case errors.As(err, &target):
		return err
	case store.WrongKind(err):
		return damaged(file, "%w", noFile(err))
	case store.Unreadable(err):
		return damaged(file, "it cannot be read: %w", err)
	case errors.Is(err, os.ErrNotExist):
		return damaged(file, "it is missing")
	case err != nil:
		return err
	case size != entry.GetSize():
		return damaged(file, "it has %d B, the manifest says %d B", size, entry.GetSize())
	case sum != entry.GetSha256():
		return damaged(file, "its hash is %s, the manifest says %s", short(sum), short(entry.GetSha256()))
	}
	return nil
}

// database reads the database at path, whose files are the manifest's, and compares what it holds with the manifest.
func (v *verification) database(ctx context.Context, path string) (err error) {
	want := v.b.Manifest.GetRecord()
	s, err := store.OpenReadOnly(v.d.fs, path, store.ReadOnlyOptions{Table: v.b.Table, Logger: v.d.log})
	if err != nil {
		return lost(err)
	}
	defer func() {
		if closeErr := s.Close(); err == nil {
			err = closeErr
		}
	}()
	record := s.Record()
	if have := record.GetPosition(); record.GetTable() != want.GetTable() || !proto.Equal(have, want.GetPosition()) {
		return damaged("", "it holds table %q at %s, the manifest says table %q at %s",
			record.GetTable(), store.PositionText(have), want.GetTable(), store.PositionText(want.GetPosition()))
	}
	err = s.CheckBlocks(len(v.copiers), func(bytes int64) error {
		v.progress(bytes)
		return ctx.Err()
	})
	if err != nil {
		return lost(err)
	}
	n, err := s.Snapshot()
	if err != nil {
		return err
	}
	sums, err := n.Sums(len(v.copiers), func() error {
		v.progress(0)
		return ctx.Err()
	})
	if err := errors.Join(err, n.Close()); err != nil {
		return lost(err)
	}
	v.proof.Rows = sums.Count
	if got := (store.Sums{Count: want.GetCount(), LiveBytes: want.GetLiveBytes(), Fingerprint: want.GetFingerprint()}); got != sums {
		return damaged("", "it holds %d rows of %d B with fingerprint %016x, the manifest says %d of %d B with %016x",
			sums.Count, sums.LiveBytes, sums.Fingerprint, got.Count, got.LiveBytes, got.Fingerprint)
	}
	return nil
}

// conclude makes a proof of what a verification ended with, and keeps it.
func (d *Directory) conclude(v *verification, err error) (Verified, error) {
	var found *damage
	if err != nil && !errors.As(err, &found) {
		return Verified{}, err
	}
	if found != nil {
		if exists, err := store.Exists(d.fs, v.b.Path); err == nil && !exists {
			return Verified{}, fmt.Errorf("its directory is gone, or no longer mounted: %w", messages.ErrNotFound)
		}
	}
	v.proof.ManifestSha256 = v.b.ManifestSHA256
	v.proof.Verdict = messages.Verdict_VERDICT_PROVEN
	if found != nil {
		v.proof.Verdict = messages.Verdict_VERDICT_RED
		v.proof.File, v.proof.Reason = found.file, messages.Text(found.Error())
	}
	v.proof.Finished = timestamppb.New(time.Now())
	verified := Verified{Proof: v.proof}
	proofs := []*messages.Proof{v.proof}
	if found != nil && found.file != "" {
		for _, neighbour := range d.neighbours(v.b, found.file) {
			verified.Neighbours = append(verified.Neighbours, neighbour.ID)
			shared := proto.CloneOf(v.proof)
			shared.BackupId, shared.ManifestSha256, shared.SharedWith = neighbour.ID, neighbour.ManifestSHA256, v.b.ID
			shared.Rows, shared.Bytes = 0, 0
			proofs = append(proofs, shared)
		}
	}
	if d.readOnly {
		return verified, nil
	}
	if verified.Unkept = d.keep(proofs); verified.Unkept != nil {
		d.log.Error("verdict is not kept", "table", v.b.Table, "backup_id", v.b.ID, "verdict", v.proof.GetVerdict(), "error", verified.Unkept)
	}
	return verified, nil
}

// keep records proofs of one table, each as far as the disk lets it. The verdict is known all the same, so it is never withheld.
func (d *Directory) keep(proofs []*messages.Proof) error {
	err := d.begin()
	if err == nil {
		defer d.end()
	}
	var errs []error
	for _, proof := range proofs {
		fault := err
		if fault == nil {
			fault = d.record(proof)
		}
		d.table(proof.GetTable()).remember(proof, fault != nil)
		if fault != nil {
			errs = append(errs, fmt.Errorf("keep proof of backup %s: %w", proof.GetBackupId(), fault))
		}
	}
	return errors.Join(errs...)
}

// neighbours returns the other backups of the table in which file is the very same one, by a hard link, and is said to be the
// same by their manifests, newest first.
func (d *Directory) neighbours(b Backup, file string) []Backup {
	mine, err := store.Identify(d.fs, d.fs.PathJoin(b.Path, file))
	if err != nil || mine == nil {
		return nil // a file that is missing is nobody else's
	}
	entry := b.entry(file)
	if entry == nil {
		return nil
	}
	others, err := d.List(b.Table)
	if err != nil {
		d.log.Warn("look for backups that share a damaged file", "table", b.Table, "error", err)
		return nil
	}
	return slices.DeleteFunc(others, func(other Backup) bool {
		// Where theirs says something else, it may be our manifest that is wrong.
		said := other.entry(file)
		if other.ID == b.ID || said.GetSize() != entry.GetSize() || said.GetSha256() != entry.GetSha256() {
			return true
		}
		theirs, err := store.Identify(d.fs, d.fs.PathJoin(other.Path, file))
		return err != nil || theirs.GetDevice() != mine.GetDevice() || theirs.GetInode() != mine.GetInode()
	})
}
