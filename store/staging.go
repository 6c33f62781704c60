package store

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gabiondb/gabion/internal/disk"
)

// stagingPrefix begins the name of a run's cut in the directory of a table on a disk of its own.
const stagingPrefix = ".staging-"

// Staging returns where a run's cut of a table goes, which does not exist yet. It is on the table's own file system,
// also where the table's directory is a link.
func (d *Directory) Staging(runID, table string) string {
	if disk.IsLink(d.fs, d.tablePath(table)) {
		return d.fs.PathJoin(d.tablePath(table), stagingPrefix+runID)
	}
	return d.fs.PathJoin(d.path, stagingDir, runID, table)
}

// DiscardCut removes the cut in staging, gives back what was lent to it, and removes the run's directory with the last cut.
func (d *Directory) DiscardCut(staging string) error {
	d.GiveBack(staging)
	if _, err := d.discard(staging, InDatabase); err != nil {
		return fmt.Errorf("remove cut: %w", err)
	}
	if run := d.fs.PathDir(staging); d.fs.PathDir(run) == d.fs.PathJoin(d.path, stagingDir) {
		_ = d.fs.Remove(run) // others may still be copied
	}
	return nil
}

// unmake removes what a cut that failed has left in dir.
func (d *Directory) unmake(dir string) error {
	_, err := d.discard(dir, InDatabase)
	return err
}

// DiscardRun removes the cuts of a run, and gives back what was lent to them.
func (d *Directory) DiscardRun(runID string) error {
	run := d.fs.PathJoin(d.path, stagingDir, runID)
	d.GiveBack(run)
	_, err := d.discard(run, inRun)
	errs := []error{err}
	for _, table := range d.linked() {
		staging := d.fs.PathJoin(d.tablePath(table), stagingPrefix+runID)
		d.GiveBack(staging)
		_, err := d.discard(staging, InDatabase)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove cuts of run: %w", err)
	}
	return nil
}

// linked returns the tables whose directories are links. Where they cannot be listed there are none to be swept.
func (d *Directory) linked() (tables []string) {
	names, err := d.Names()
	if err != nil {
		return nil
	}
	for _, name := range names {
		if disk.IsLink(d.fs, d.tablePath(name)) {
			tables = append(tables, name)
		}
	}
	return tables
}

// sweepStaging empties staging of cuts. It stays: on a full disk it could not be made again.
func (d *Directory) sweepStaging() error {
	staging := d.fs.PathJoin(d.path, stagingDir)
	errs := []error{makeIfMissing(d.fs, staging)}
	names, err := listIfExists(d.fs, staging)
	errs = append(errs, err)
	for _, name := range names {
		path := d.fs.PathJoin(staging, name)
		if !runName.MatchString(name) {
			d.warnForeign([]string{path})
			continue
		}
		_, err := d.discard(path, inRun)
		errs = append(errs, err)
	}
	for _, table := range d.linked() {
		errs = append(errs, d.sweepStagingOf(table))
	}
	return errors.Join(errs...)
}

// sweepStagingOf removes the cuts in the directory of a table.
func (d *Directory) sweepStagingOf(table string) error {
	names, err := listIfExists(d.fs, d.tablePath(table))
	errs := []error{err}
	for _, name := range names {
		if run, ok := strings.CutPrefix(name, stagingPrefix); ok && runName.MatchString(run) {
			_, err := d.discard(d.fs.PathJoin(d.tablePath(table), name), InDatabase)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
