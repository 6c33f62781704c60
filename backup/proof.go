package backup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// BACKUPDIR/NAME/proofs/ID.jsonl holds the proofs of one backup, oldest first, outside of the backup itself, which is
// never written again.
const (
	proofsDir   = "proofs"
	proofSuffix = ".jsonl"
	// mostProofs is how many lines a file keeps: a drill adds one for each backup, for years.
	mostProofs = 100
)

// Proven tells whether the last verify proved the backup.
func (b Backup) Proven() bool { return b.Proof.GetVerdict() == messages.Verdict_VERDICT_PROVEN }

func (d *Directory) proofPath(table, id string) string {
	return d.fs.PathJoin(d.path, table, proofsDir, id+proofSuffix)
}

// proof returns the last proof that is bound to the backup's manifest, kept or not, nil when there is none. A line that cannot be read
// says nothing; proofs that cannot be read at all are an error.
func (d *Directory) proof(b Backup) (*messages.Proof, error) {
	if proof := d.table(b.Table).remembered(b.ID); proof != nil && proof.GetManifestSha256() == b.ManifestSHA256 {
		return proof, nil
	}
	data, err := disk.ReadFile(d.fs, d.proofPath(b.Table, b.ID), proofsLimit)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read proofs: %w", err)
	}
	var last *messages.Proof
	for line := range bytes.Lines(data) {
		var proof messages.Proof
		if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, &proof) != nil {
			continue
		}
		if proof.GetVerdict() != messages.Verdict_VERDICT_UNSPECIFIED && proof.GetFormatVersion() <= store.FormatVersion && proof.GetTable() == b.Table && proof.GetBackupId() == b.ID &&
			proof.GetManifestSha256() == b.ManifestSHA256 {
			last = &proof
		}
	}
	return last, nil
}

// record adds a proof to those of its backup, durably: a crash leaves the proofs before, or this one with them.
func (d *Directory) record(proof *messages.Proof) error {
	t := d.table(proof.GetTable())
	t.proofs.Lock()
	defer t.proofs.Unlock()
	path := d.proofPath(proof.GetTable(), proof.GetBackupId())
	data, err := disk.ReadFile(d.fs, path, proofsLimit)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read proofs: %w", err)
	}
	line, err := protojson.MarshalOptions{}.Marshal(proof)
	if err != nil {
		return fmt.Errorf("marshal proof: %w", err)
	}
	var kept []byte
	lines := bytes.SplitAfter(data, []byte("\n"))
	for _, old := range lines[max(0, len(lines)-mostProofs):] {
		if bytes.HasSuffix(old, []byte("\n")) {
			kept = append(kept, old...)
		}
	}
	for len(kept)+len(line) >= proofsLimit && len(kept) > 0 {
		kept = kept[bytes.IndexByte(kept, '\n')+1:]
	}
	if err := d.mkdir(d.fs.PathDir(path)); err != nil {
		return err
	}
	return store.WriteDurably(d.fs, path, append(append(kept, line...), '\n'))
}

// sweepProofs removes the proofs of backups that are gone. Those that stay speak of nothing: a number is never used twice.
func (d *Directory) sweepProofs(table string) error {
	t := d.table(table)
	t.proofs.Lock() // a proof that is being written has another name until it is whole
	defer t.proofs.Unlock()
	ids, err := d.ids(table)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(ids))
	for _, id := range ids {
		there[id+proofSuffix] = true
	}
	names, err := list(d.fs, d.fs.PathJoin(d.path, table, proofsDir))
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		id, _, _ := strings.Cut(name, proofSuffix)
		if _, isID := parseID(id); !isID || name != id+proofSuffix && name != id+proofSuffix+asideSuffix {
			d.warnForeign([]string{d.fs.PathJoin(d.path, table, proofsDir, name)})
			continue
		}
		if there[name] {
			continue
		}
		if err := d.fs.Remove(d.fs.PathJoin(d.path, table, proofsDir, name)); err != nil {
			errs = append(errs, fmt.Errorf("remove proofs: %w", err))
		}
	}
	return errors.Join(errs...)
}
