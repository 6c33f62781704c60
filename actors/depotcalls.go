package actors

import (
	"context"
	"time"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Path is BACKUPDIR. It does not wait.
func (d *depot) Path() string {
	if dir := d.ready(); dir != nil {
		return dir.Path()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.path
}

// Missing tells whether the directory is known not to be there. It does not wait.
func (d *depot) Missing() bool {
	dir := d.ready()
	return dir != nil && dir.Missing()
}

// Busy is how many operations that change the disk go on. It does not wait.
func (d *depot) Busy() int {
	if dir := d.ready(); dir != nil {
		return dir.Busy()
	}
	return 0
}

// Use keeps a backup from retention until release is called. It does not wait.
func (d *depot) Use(table, id string) (release func()) {
	if dir := d.ready(); dir != nil {
		return dir.Use(table, id)
	}
	return func() {}
}

// one is call on what opened returns.
func one[T any](opened func() (*backup.Directory, error), call func(*backup.Directory) (T, error)) (T, error) {
	dir, err := opened()
	if err != nil {
		var none T
		return none, err
	}
	return call(dir)
}

// pair is one for a call with two values.
func pair[T, U any](opened func() (*backup.Directory, error), call func(*backup.Directory) (T, U, error)) (T, U, error) {
	dir, err := opened()
	if err != nil {
		var none T
		var nothing U
		return none, nothing, err
	}
	return call(dir)
}

// What reads.

func (d *depot) Tables() ([]string, error) {
	return one(d.get, func(b *backup.Directory) ([]string, error) { return b.Tables() })
}

func (d *depot) Has(table string) (bool, error) {
	return one(d.get, func(b *backup.Directory) (bool, error) { return b.Has(table) })
}

func (d *depot) List(table string) ([]backup.Backup, error) {
	return one(d.get, func(b *backup.Directory) ([]backup.Backup, error) { return b.List(table) })
}

func (d *depot) Find(table, id string) (backup.Backup, error) {
	return one(d.get, func(b *backup.Directory) (backup.Backup, error) { return b.Find(table, id) })
}

func (d *depot) Newest(table, lineage string) (backup.Backup, bool, error) {
	return pair(d.get, func(b *backup.Directory) (backup.Backup, bool, error) { return b.Newest(table, lineage) })
}

func (d *depot) NewestUsable(table string) (backup.Backup, bool, error) {
	return pair(d.get, func(b *backup.Directory) (backup.Backup, bool, error) { return b.NewestUsable(table) })
}

func (d *depot) Choose(table string, c backup.Choice) (backup.Backup, []string, error) {
	return pair(d.get, func(b *backup.Directory) (backup.Backup, []string, error) { return b.Choose(table, c) })
}

func (d *depot) OpenBackup(table, id string, red bool) (*backup.Reader, error) {
	return one(d.get, func(b *backup.Directory) (*backup.Reader, error) { return b.OpenBackup(table, id, red) })
}

func (d *depot) Sets() ([]*messages.BackupSet, error) {
	return one(d.get, func(b *backup.Directory) ([]*messages.BackupSet, error) { return b.Sets() })
}

func (d *depot) ReadSets() ([]*messages.BackupSet, []backup.UnreadSet, error) {
	return pair(d.get, func(b *backup.Directory) ([]*messages.BackupSet, []backup.UnreadSet, error) { return b.ReadSets() })
}

func (d *depot) OwnSets(sets []*messages.BackupSet) ([]*messages.BackupSet, error) {
	return one(d.get, func(b *backup.Directory) ([]*messages.BackupSet, error) { return b.OwnSets(sets), nil })
}

func (d *depot) SetStatuses(sets []*messages.BackupSet) ([]*messages.SetStatus, error) {
	return one(d.get, func(b *backup.Directory) ([]*messages.SetStatus, error) { return b.SetStatuses(sets) })
}

func (d *depot) NewestRun() (string, error) {
	return one(d.get, func(b *backup.Directory) (string, error) { return b.NewestRun() })
}

func (d *depot) Space(ctx context.Context, backups []backup.Backup) ([]backup.Space, error) {
	return one(d.get, func(b *backup.Directory) ([]backup.Space, error) { return b.Space(ctx, backups) })
}

func (d *depot) Judge(backups []backup.Backup, policy backup.Policy, now time.Time) ([]backup.Decision, error) {
	return one(d.get, func(b *backup.Directory) ([]backup.Decision, error) { return b.Judge(backups, policy, now) })
}

func (d *depot) Foresee(ctx context.Context, table string, policy backup.Policy, now time.Time, progress func()) (backup.Pruned, error) {
	return one(d.get, func(b *backup.Directory) (backup.Pruned, error) { return b.Foresee(ctx, table, policy, now, progress) })
}

func (d *depot) ForeseeSets(decisions []*messages.RetentionDecision) ([]string, error) {
	return one(d.get, func(b *backup.Directory) ([]string, error) { return b.ForeseeSets(decisions) })
}

func (d *depot) Restore(ctx context.Context, from backup.Backup, to string, o backup.VerifyOptions) (*messages.Proof, error) {
	return one(d.get, func(b *backup.Directory) (*messages.Proof, error) { return b.Restore(ctx, from, to, o) })
}

func (d *depot) Remains(from backup.Backup, progress func() error) (*store.Remains, error) {
	return one(d.get, func(b *backup.Directory) (*store.Remains, error) { return b.Remains(from, progress) })
}

func (d *depot) Mend(left *store.Remains, progress func() error) (id string, release func(), err error) {
	b, err := d.get()
	if err != nil {
		return "", func() {}, err
	}
	return b.Mend(left, progress)
}

func (d *depot) CopyID() (string, error) {
	return one(d.get, func(b *backup.Directory) (string, error) { return b.CopyID(), nil })
}

// Whose is that of backup.Directory: why no run may be made, nil where one may.
func (d *depot) Whose() error {
	b, err := d.get()
	if err != nil {
		return err
	}
	return b.Whose()
}

// What changes the directory.

func (d *depot) BeginRun(runID string, adopt bool) (unmarked, err error) {
	if err := d.Check(); err != nil { // which finds one that is back
		return nil, err
	}
	b, err := d.get()
	if err != nil {
		return nil, err
	}
	return b.BeginRun(runID, adopt)
}

func (d *depot) Verify(ctx context.Context, table, id string, o backup.VerifyOptions) (backup.Verified, error) {
	return one(d.toWrite, func(b *backup.Directory) (backup.Verified, error) { return b.Verify(ctx, table, id, o) })
}

func (d *depot) CarryForward(table string, now store.Content) (*messages.TableResult, error) {
	return one(d.toWrite, func(b *backup.Directory) (*messages.TableResult, error) { return b.CarryForward(table, now) })
}

func (d *depot) Publish(ctx context.Context, cut backup.Cut, progress func(bytes int64)) (*messages.TableResult, error) {
	return one(d.toWrite, func(b *backup.Directory) (*messages.TableResult, error) { return b.Publish(ctx, cut, progress) })
}

func (d *depot) WriteSet(set *messages.BackupSet) error {
	b, err := d.toWrite()
	if err != nil {
		return err
	}
	return b.WriteSet(set)
}

func (d *depot) Retain(table string, policy backup.Policy, now time.Time) ([]*messages.RetentionDecision, error) {
	return one(d.toWrite, func(b *backup.Directory) ([]*messages.RetentionDecision, error) { return b.Retain(table, policy, now) })
}

func (d *depot) RetainSets() ([]string, error) {
	return one(d.toWrite, func(b *backup.Directory) ([]string, error) { return b.RetainSets() })
}

func (d *depot) Prune(ctx context.Context, table string, policy backup.Policy, now time.Time, progress func()) (backup.Pruned, error) {
	return one(d.toWrite, func(b *backup.Directory) (backup.Pruned, error) { return b.Prune(ctx, table, policy, now, progress) })
}

func (d *depot) Pin(table, id, reason string) error {
	b, err := d.toWrite()
	if err != nil {
		return err
	}
	return b.Pin(table, id, reason)
}

func (d *depot) Unpin(table, id string) error {
	b, err := d.toWrite()
	if err != nil {
		return err
	}
	return b.Unpin(table, id)
}
