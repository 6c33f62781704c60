package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/ops/show"
)

func newRestore(out *output) *cobra.Command {
	var at place
	var m messages.RestoreTable
	var when, set string
	var thinned bool
	cmd := &cobra.Command{
		Use:   "restore TABLE",
		Short: "Put a backup in the place of a table",
		Long: `Put a backup in the place of a table, with the service running: the backup is copied beside the table and verified,
and then the table is flipped to it. All other tables go on, and so does this one until the flip. What it held before is kept
as undo: --undo brings it back. Without --backup or --at the newest backup is taken that is not red.

With --set, a whole set is restored into a directory that is empty or is not there; --backup-dir names the backups.`,
		Example: `  gabion restore tasks --dir DIR
  gabion restore tasks --backup 42 --dry-run --dir DIR
  gabion restore tasks --at 2026-02-11T08:00:00Z --dir DIR
  gabion restore tasks --undo --dir DIR
  gabion restore --set 01J5Z6T1QZ4C6N1GB3W5Y8X2KD --dir NEWDIR --backup-dir BACKUPDIR`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := nonEmpty(cmd, "set", "backup", "at"); err != nil {
				return err
			}
			if set != "" {
				if len(args) > 0 || m.GetBackupId() != "" || when != "" || m.GetUndo() || m.GetLive() || m.GetRed() {
					return usagef("gabion restore --set RUN --dir NEWDIR --backup-dir BACKUPDIR", "--set restores every table of a set, and something else is named too")
				}
				return restoreSet(cmd, &at, ops.SetOptions{RunID: set, Thinned: thinned, DryRun: m.GetDryRun()}, out)
			}
			if err := exactly(1)(cmd, args); err != nil {
				return err
			}
			m.Table = args[0]
			if err := messages.CheckTableName(m.GetTable()); err != nil {
				return err
			}
			if err := oneSource(cmd); err != nil {
				return err
			}
			if when != "" {
				t, err := parseTime(time.Now(), "--at", when)
				if err != nil {
					return err
				}
				m.At = timestamppb.New(t)
			}
			if bad := m.Check(); bad != nil {
				return bad
			}
			return at.open(cmd.Context(), ops.OpenOptions{Backups: true}, func(s *ops.Session) error {
				return restore(cmd, s, &m, out)
			})
		},
	}
	at.addFlags(cmd)
	at.completeTables(cmd, 1)
	cmd.Flags().StringVar(&m.BackupId, "backup", "", "restore `BACKUP`, by the name that gabion backups prints, or its number")
	cmd.Flags().StringVar(&when, "at", "", "restore the newest backup that was taken by `TIME`: 24h for so long ago, 2026-02-11, or 2026-02-11T08:00:00Z")
	cmd.Flags().BoolVar(&m.DryRun, "dry-run", false, "print the plan, and change nothing")
	cmd.Flags().BoolVar(&m.Undo, "undo", false, "bring back what the last restore, or a drop, has put out of service")
	cmd.Flags().BoolVar(&m.Live, "live", false, "restore a quarantined table from its own files, where they are sound but short of what was acknowledged")
	cmd.Flags().BoolVar(&m.Red, "red", false, "restore the --backup even if it is red, as far as it can be read")
	cmd.Flags().StringVar(&set, "set", "", "restore the set `RUN` into an empty --dir")
	cmd.Flags().BoolVar(&thinned, "thinned", false, "restore what is left of a --set of which backups are gone, red or others by now, or tables failed")
	return cmd
}

// oneSource checks what the flags name, so that the answer speaks of flags.
func oneSource(cmd *cobra.Command) error {
	var given []string
	for _, name := range []string{"backup", "at", "undo", "live"} {
		if cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	switch {
	case len(given) > 1:
		return usagef("leave all but one out", "%s each name what is restored", strings.Join(given, " and "))
	case cmd.Flags().Changed("red") && !cmd.Flags().Changed("backup"):
		return usagef("name the backup with --backup", "--red is about a backup, and none is named")
	case cmd.Flags().Changed("thinned"):
		return usagef("name the set with --set", "--thinned is about a set, and none is named")
	}
	return nil
}

func restore(cmd *cobra.Command, s *ops.Session, m *messages.RestoreTable, out *output) error {
	bar := newProgress(cmd.ErrOrStderr(), 0)
	defer bar.clear()
	report, err := s.RestoreFollowed(cmd.Context(), m, bar.showBytes)
	bar.clear()
	switch {
	case errors.Is(err, context.Canceled) && s.Client() != nil:
		return messages.WithHint(err, "the server goes on with the restore; gabion events tells how it ended")
	case errors.Is(err, context.Canceled):
		return messages.WithHint(err, "gabion events tells whether the table was flipped before; if not, it is as it was")
	case err != nil:
		return err
	}
	if out.json {
		return out.message(report)
	}
	if err := printPlan(out, report.GetPlan(), time.Now()); err != nil {
		return err
	}
	return printRestored(out, report.GetRestored())
}

// restoreSet restores a whole set in place.
func restoreSet(cmd *cobra.Command, at *place, o ops.SetOptions, out *output) error {
	if err := at.named(); err != nil {
		return err
	}
	if at.backupDir == "" {
		return usagef("add --backup-dir BACKUPDIR, the directory that holds the set", "--set needs the directory of the backups")
	}
	bar := newProgress(cmd.ErrOrStderr(), 0)
	defer bar.clear()
	o.Dir, o.BackupDir, o.DirMode, o.Tell = at.dir, at.backupDir, at.mode, bar.showBytes
	reports, err := ops.RestoreSet(cmd.Context(), o)
	bar.clear()
	if err != nil {
		return err
	}
	if out.json {
		for _, report := range reports {
			line, err := marshal(report)
			if err != nil {
				return err
			}
			if err := out.line(line); err != nil {
				return err
			}
		}
		return nil
	}
	var rows [][]string
	for _, report := range reports {
		p := report.GetPlan()
		rows = append(rows, []string{p.GetTable(), p.GetBackupId(), strconv.FormatUint(p.GetRows(), 10), show.Size(p.GetBytes())})
	}
	if err := out.table("", []string{"TABLE", "BACKUP", "ROWS", "SIZE"}, rows); err != nil {
		return err
	}
	if o.DryRun {
		return out.printf("nothing was restored: this is a dry run\n")
	}
	return out.printf("\n%s restored into %s\n", show.Plural(len(reports), "table"), at.dir)
}

func printPlan(out *output, p *messages.RestorePlan, now time.Time) error {
	from := p.GetSource()
	if p.GetBackupId() != "" {
		from = "backup " + p.GetBackupId()
	}
	proof := "none yet: the restore verifies it"
	if p.GetProof() != nil {
		proof = verdictName(p.GetProof()) + ", " + show.Past(now, p.GetProof().GetFinished())
	}
	if p.GetSource() != "backup" {
		proof = ""
	}
	lines := [][2]string{
		{"table", p.GetTable()},
		{"from", from},
		{"as of", p.GetCut().AsTime().Format(time.RFC3339) + ", " + show.Past(now, p.GetCut())},
		{"rows", strconv.FormatUint(p.GetRows(), 10)},
		{"at seq", strconv.FormatUint(p.GetPosition().GetSeq(), 10)},
		{"now", ""},
		{"to copy", ""},
		{"proof", proof},
	}
	if p.GetServing() != nil {
		lines[5][1] = "seq " + strconv.FormatUint(p.GetServing().GetSeq(), 10)
	}
	if p.GetBytes() > 0 {
		lines[6][1] = show.Size(p.GetBytes())
	}
	for _, over := range p.GetPassedOver() {
		lines = append(lines, [2]string{"not", over})
	}
	for _, damage := range p.GetDamage() {
		lines = append(lines, [2]string{"damaged", damage})
	}
	if p.GetMendedBy() != "" {
		lines = append(lines, [2]string{"mended", "from backup " + p.GetMendedBy() + ": no row is missing"})
	}
	if p.GetUnproven() {
		lines = append(lines, [2]string{"salvaged", salvagedText(p)})
	}
	for _, r := range p.GetDamaged() {
		lines = append(lines, [2]string{"left out", rangeText(r)})
	}
	return printLines(out, lines)
}

// salvagedText says how much can be read of a source that is not whole.
func salvagedText(p *messages.RestorePlan) string {
	text := show.Plural(int(p.GetRows()), "row")
	if p.GetRowsMissing() > 0 {
		text += fmt.Sprintf(" of %d", p.GetRows()+p.GetRowsMissing())
	}
	if n := p.GetDamagedRanges(); n > 0 {
		text += ", without " + show.Plural(int(n), "damaged range")
	}
	return text
}

// rangeText is a range of keys that cannot be read.
func rangeText(r *messages.DamagedRange) string {
	start, end := "the first key", "the last key"
	if len(r.GetStart()) > 0 {
		start = strconv.Quote(string(r.GetStart()))
	}
	if len(r.GetEnd()) > 0 {
		end = "before " + strconv.Quote(string(r.GetEnd()))
	}
	return fmt.Sprintf("keys from %s to %s, in %s", start, end, r.GetFile())
}

func printRestored(out *output, r *messages.TableRestored) error {
	if r == nil {
		return out.printf("nothing was changed: this is a dry run\n")
	}
	if err := out.printf("restored: lineage %s, in %s\n", r.GetPosition().GetLineage(),
		r.GetFinished().AsTime().Sub(r.GetStarted().AsTime()).Round(time.Millisecond)); err != nil {
		return err
	}
	if r.GetLostTo() > 0 {
		if err := out.printf("not in it: the operations with seq %d to %d\n", r.GetLostFrom(), r.GetLostTo()); err != nil {
			return err
		}
	}
	if r.GetRowsMissing() > 0 {
		if err := out.printf("not in it: %s whose blocks are damaged\n", show.Plural(int(r.GetRowsMissing()), "row")); err != nil {
			return err
		}
	}
	if r.GetUndoLineage() == "" {
		return nil
	}
	return out.printf("kept as undo until %s: gabion restore %s --undo brings it back\n",
		r.GetUndoUntil().AsTime().Format(time.RFC3339), r.GetTable())
}

// printLines prints what each line is about, and what of it; lines of nothing are left out.
func printLines(out *output, lines [][2]string) error {
	for _, line := range lines {
		if line[1] == "" {
			continue
		}
		if err := out.printf("%-9s %s\n", line[0], show.Printable(line[1])); err != nil {
			return err
		}
	}
	return nil
}
