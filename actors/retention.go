package actors

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// knowsRules tells whether the rules of retention are those of whoever serves the directory, and not merely unset.
func (c Config) knowsRules() bool { return !c.Visit || c.Keep != 0 }

// policy is what the configuration says of every table.
func (c Config) policy() backup.Policy {
	return backup.Policy{
		Keep: c.Keep, Hourly: c.KeepHourly, Daily: c.KeepDaily, Weekly: c.KeepWeekly, Monthly: c.KeepMonthly,
		KeepWithin: c.KeepWithin,
	}
}

// Rules are the rules of retention, nil where they are not known: with Visit and without Keep.
func (c Config) Rules() *messages.RetentionRules {
	if !c.knowsRules() {
		return nil
	}
	return &messages.RetentionRules{
		Keep: uint64(c.Keep), KeepHourly: uint64(c.KeepHourly), KeepDaily: uint64(c.KeepDaily), KeepWeekly: uint64(c.KeepWeekly),
		KeepMonthly: uint64(c.KeepMonthly), KeepWithin: durationpb.New(c.KeepWithin),
	}
}

// Rules are the rules of retention that runs and PruneBackups go by.
func (g *Gabion) Rules() *messages.RetentionRules { return g.tree.config.Rules() }

// policy protects the newest backup of every lineage that the table has on disk, and of the one it branched from. Of a
// table that is not served only its store would know which that is, so it protects every lineage that has a backup; and
// while a table is quarantined, any backup may be the one that is needed.
func (t *tree) policy(table string) (backup.Policy, error) {
	policy := t.config.policy()
	lineages, err := t.directory.Lineages(table)
	if err != nil {
		return backup.Policy{}, err
	}
	policy.Lineages = lineages
	m := t.members.find(table)
	if m != nil && m.showing() == messages.TableState_TABLE_STATE_QUARANTINED {
		policy.Hold = "the table is quarantined"
	}
	if m != nil {
		if serving := m.serving.Load(); serving != nil {
			if parent := serving.store.Record().GetParent().GetLineage(); parent != "" {
				policy.Lineages = append(policy.Lineages, parent)
			}
			return policy, nil
		}
	}
	backups, err := t.backups.List(table)
	for _, b := range backups {
		if lineage := b.Lineage(); lineage != "" && !slices.Contains(policy.Lineages, lineage) {
			policy.Lineages = append(policy.Lineages, lineage)
		}
	}
	return policy, err
}

// describe tells what lists show of a table's backups, as List returned them: with what retention would do with each,
// where its rules are known, and what each takes on the disk, if that can be told before ctx ends.
func (t *tree) describe(ctx context.Context, table string, backups []backup.Backup) []*messages.BackupInfo {
	infos := briefly(table, backups)
	if len(backups) == 0 {
		return infos
	}
	logger := t.config.Logger.With("table", table)
	if t.config.knowsRules() {
		decided, err := t.judge(table, backups)
		if err != nil {
			logger.Warn("it cannot be told what retention keeps", "error", err)
		}
		for i, decision := range decided {
			infos[i].Goes = !decision.Keep
			for _, reason := range decision.Reasons {
				infos[i].Reasons = append(infos[i].Reasons, messages.Text(reason))
			}
		}
	}
	spaces, err := t.backups.Space(ctx, backups)
	if err != nil {
		logger.Warn("it cannot be told what backups take on the disk", "error", err)
	}
	for i, space := range spaces {
		infos[i].OwnBytes, infos[i].SharedBytes = &space.Own, &space.Shared
	}
	return infos
}

func (t *tree) judge(table string, backups []backup.Backup) ([]backup.Decision, error) {
	policy, err := t.policy(table)
	if err != nil {
		return nil, err
	}
	return t.backups.Judge(backups, policy, time.Now())
}

// describeOne is describe for one backup, read anew.
func (t *tree) describeOne(ctx context.Context, table, id string) (*messages.BackupInfo, error) {
	backups, err := t.backups.List(table)
	if err != nil {
		return nil, err
	}
	for i, info := range t.describe(ctx, table, backups) {
		if backups[i].ID == id {
			return info, nil
		}
	}
	return nil, fmt.Errorf("backup %q of table %q: %w", id, table, messages.ErrNotFound)
}
