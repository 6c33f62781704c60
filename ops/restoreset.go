package ops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// setStopTimeout bounds the end of a restore whose disk hangs.
const setStopTimeout = 30 * time.Second

// SetOptions configures RestoreSet.
type SetOptions struct {
	// Dir is where the tables go: a directory that is empty, or is not there while its parent is.
	Dir string
	// BackupDir holds the backups. No host may use it.
	BackupDir string
	// DirMode is actors.Config.DirMode, for what is made. Dir is new: with zero it is for this user alone.
	DirMode fs.FileMode
	// RunID names the set.
	RunID string
	// Thinned restores what is left of a set of which retention has removed backups, some are others by now or must not be
	// restored, or some tables failed. A set of which nothing is left is refused all the same.
	Thinned bool
	// DryRun plans, and changes nothing in Dir but lock files.
	DryRun bool
	// Tell, unless nil, is told the progress.
	Tell func(*messages.Progress)
}

// RestoreSet restores every table of a set into an empty directory, each verified as by RestoreTable, and returns a report for
// each. The directory becomes the store that the backups belong to. After an error, what it has restored stays, and the
// directory is no longer empty.
func RestoreSet(ctx context.Context, o SetOptions) (reports []*messages.RestoreReport, err error) {
	if o.Tell == nil {
		o.Tell = func(*messages.Progress) {}
	}
	// Before Dir is made: what is refused leaves it as it is.
	plans, err := planSet(o)
	if err != nil {
		return nil, fmt.Errorf("restore set: %w", err)
	}
	if o.DryRun {
		for _, plan := range plans {
			reports = append(reports, &messages.RestoreReport{Plan: plan})
		}
		return reports, nil
	}
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
	defer system.Shutdown()
	g, err := actors.Start(ctx, system, actors.Config{
		Dir: o.Dir, BackupDir: o.BackupDir, DirMode: o.DirMode, CreateEmpty: true, DisableSchedule: true, Visit: true,
	})
	if err != nil {
		return nil, fmt.Errorf("restore set: %w", err)
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), setStopTimeout)
		defer cancel()
		err = errors.Join(err, g.Stop(stopping))
	}()
	for _, plan := range plans {
		m := &messages.RestoreTable{Table: plan.GetTable(), BackupId: plan.GetBackupId()}
		report, err := g.RestoreFollowed(ctx, m, o.Tell)
		if err != nil {
			return reports, messages.WithHint(fmt.Errorf("restore set: %w", err), fmt.Sprintf(
				"%d of %d tables were restored into %s: remove it before you begin again", len(reports), len(plans), o.Dir))
		}
		reports = append(reports, report)
	}
	return reports, nil
}

// planSet finds the set and its backups, and changes nothing but BackupDir's lock files.
func planSet(o SetOptions) (plans []*messages.RestorePlan, err error) {
	if err := checkUsers(func(dir string) error { return CheckUser(dir, o.DirMode) }, o.Dir, o.BackupDir); err != nil {
		return nil, err
	}
	if err := checkTarget(o.Dir); err != nil {
		return nil, err
	}
	path, id, err := backupsAt(o.BackupDir)
	if err != nil {
		return nil, err
	}
	d, err := backup.Open(backup.Options{FS: store.RealFS(), Path: path, StoreID: id, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	set, err := findSet(d, o.RunID)
	if err != nil {
		return nil, err
	}
	var short, failed []string
	for _, result := range set.GetResults() {
		if result.GetBackupId() == "" {
			failed = append(failed, result.GetTable())
			continue
		}
		name := result.GetTable() + "/" + result.GetBackupId()
		b, err := d.Find(result.GetTable(), result.GetBackupId())
		if errors.Is(err, messages.ErrNotFound) {
			short = append(short, name+" gone")
			continue
		}
		if err != nil {
			return nil, err
		}
		if _, _, err := d.Choose(b.Table, backup.Choice{ID: b.ID}); errors.Is(err, store.ErrNewer) && !o.Thinned {
			return nil, err
		} else if err != nil {
			short = append(short, strings.TrimPrefix(err.Error(), "choose backup: "))
			continue
		}
		if b.ManifestSHA256 != result.GetManifestSha256() {
			short = append(short, name+" is another one by now")
			continue
		}
		plans = append(plans, &messages.RestorePlan{Table: b.Table, BackupId: b.ID, Source: "backup", Proof: b.Proof, Bytes: b.Bytes(),
			Position: b.Manifest.GetRecord().GetPosition(), Rows: b.Manifest.GetRecord().GetCount(), Cut: b.Manifest.GetStarted()})
	}
	if len(failed) > 0 {
		short = append(short, strings.Join(failed, ", ")+" failed in the run")
	}
	what := strings.Join(short, "; ")
	switch {
	case len(plans) == 0 && len(short) > 0:
		return nil, messages.WithHint(fmt.Errorf("nothing is left to restore of set %s: %s: %w", o.RunID, what, messages.ErrInvalid),
			"restore another set; gabion verify proves one that was fixed")
	case len(short) > 0 && !o.Thinned:
		return nil, messages.WithHint(fmt.Errorf("set %s is not whole: %s: %w", o.RunID, what, messages.ErrInvalid),
			"restore what is left with --thinned, or another set")
	}
	return plans, nil
}

// checkTarget refuses a directory that holds anything, and one within a directory of a Gabion, which would take it for its own.
func checkTarget(dir string) error {
	fs := store.RealFS()
	path, err := store.RealPath(fs, dir)
	if err != nil {
		return err
	}
	names, err := fs.List(path)
	names = slices.DeleteFunc(names, func(name string) bool { return name == "lost+found" || disk.IsTrial(name) })
	switch {
	case errors.Is(err, os.ErrNotExist):
		if _, err := fs.Stat(fs.PathDir(path)); err != nil {
			return messages.WithHint(fmt.Errorf("parent of directory %s: %w", dir, err), "make the parent directory, or correct the path")
		}
	case err != nil:
		return messages.WithHint(fmt.Errorf("list directory %s: %w", dir, err), "name a directory, or one that is not there yet")
	case len(names) > 0:
		return messages.WithHint(fmt.Errorf("directory %s is not empty, it holds %q: %w", dir, slices.Min(names), messages.ErrInvalid),
			"name a new directory; what a restore that was cut short has left can be removed; to restore one table of a directory that is there, gabion restore TABLE")
	}
	for parent := fs.PathDir(path); ; parent = fs.PathDir(parent) {
		// What cannot be looked at holds nothing of this user's.
		if info, err := store.ReadInfo(fs, parent); err == nil && info != nil {
			return messages.WithHint(fmt.Errorf("directory %s lies within %s, which a Gabion holds: %w", dir, parent, messages.ErrInvalid),
				"name a directory elsewhere")
		}
		if parent == fs.PathDir(parent) {
			return nil
		}
	}
}

func findSet(d *backup.Directory, runID string) (*messages.BackupSet, error) {
	sets, err := d.Sets()
	if err != nil {
		return nil, err
	}
	for _, set := range sets {
		if set.GetRunId() == runID {
			return set, nil
		}
	}
	hint := "the directory has no set"
	if len(sets) > 0 {
		hint = "the newest set is " + sets[0].GetRunId()
	}
	return nil, messages.WithHint(fmt.Errorf("set %q: %w", runID, messages.ErrNotFound), hint)
}
