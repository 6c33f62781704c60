package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/ops/show"
)

func newVerify(out *output) *cobra.Command {
	var at place
	var m messages.VerifyBackup
	var newest bool
	var rate string
	cmd := &cobra.Command{
		Use:   "verify [TABLE/BACKUP|RUN]",
		Short: "Prove that backups restore",
		Long: `Prove that backups restore, by the code that restores them: every file is hashed, every block and every row is read,
and count, fingerprint and position are compared with the manifest. Without an argument the newest backup of every table is
verified. The outcome is kept as a proof beside the backup. The exit code is 3 when a backup is red: it is not what its
manifest says.

With --backup-dir, other backups than those of the server that holds --dir are verified beside it, such as a copy on another
disk. Without any --dir the backups of --backup-dir are verified by themselves.`,
		Example: `  gabion verify --dir DIR
  gabion verify tasks/42 --dir DIR
  gabion verify 01J5Z6T1QZ4C6N1GB3W5Y8X2KD --dir DIR
  gabion verify --table tasks --all --rate 50MiB --dir DIR
  gabion verify --table tasks --newest --dir DIR
  gabion verify --all --backup-dir /mnt/usb/backups`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := nonEmpty(cmd, "set", "table"); err != nil {
				return err
			}
			// What the flags name is checked here, so that the answer speaks of flags.
			named := len(args) > 0
			for _, other := range []string{"--table", "--set", "--all", "--newest"} {
				if named && cmd.Flags().Changed(other[2:]) {
					return usagef("leave one of them out", "%s names what is verified, and so does %s", args[0], other)
				}
			}
			switch {
			case newest && m.GetAll():
				return usagef("leave one of them out", "--newest and --all exclude each other")
			case m.GetRunId() != "" && (m.GetAll() || newest || len(m.GetTables()) > 0):
				return usagef("leave the others out", "--set names the backups, and so do --table, --all and --newest")
			}
			for _, arg := range args {
				if len(arg) == runLength && !strings.Contains(arg, "/") {
					m.RunId = arg
					continue
				}
				table, id, err := parseBackup(arg)
				if err != nil {
					return err
				}
				m.Tables, m.BackupId = []string{table}, id
			}
			for _, table := range m.GetTables() {
				if err := messages.CheckTableName(table); err != nil {
					return err
				}
			}
			if cmd.Flags().Changed("rate") {
				n, err := ops.ParseSize("--rate", rate)
				if err != nil {
					return usageError{err}
				}
				if n < messages.MinRate {
					return usagef("leave it out to read as fast as the disk gives", "--rate is %s, minimum is %s", rate, show.Size(int64(messages.MinRate)))
				}
				m.BytesPerSecond = uint64(n)
			}
			if bad := m.Check(); bad != nil {
				return bad
			}
			return at.open(cmd.Context(), ops.OpenOptions{Backups: true, Alone: true}, func(s *ops.Session) error {
				return verify(cmd, s, &m, out)
			})
		},
	}
	at.addFlags(cmd)
	at.completeBackups(cmd)
	cmd.Flags().BoolVar(&m.All, "all", false, "verify every backup")
	cmd.Flags().BoolVar(&newest, "newest", false, "verify the newest backup of each table, which is what it does without")
	cmd.Flags().StringSliceVar(&m.Tables, "table", nil, "verify backups of `TABLE`; may be given several times")
	cmd.Flags().StringVar(&rate, "rate", "", "read at most `SIZE` a second, as in 50MiB")
	cmd.Flags().StringVar(&m.RunId, "set", "", "verify the backups of the set `RUN`, as gabion backups names it")
	return cmd
}

// runLength is that of a run's id, which is a ULID.
const runLength = 26

// parseBackup parses TABLE/BACKUP.
func parseBackup(arg string) (table, id string, err error) {
	table, id, ok := strings.Cut(arg, "/")
	if !ok || id == "" {
		return "", "", usagef("write tasks/42, with a name that gabion backups prints", "backup %q is not TABLE/BACKUP", arg)
	}
	return table, id, nil
}

// verify prints the results; of a verify that ends early, those that have come.
func verify(cmd *cobra.Command, s *ops.Session, m *messages.VerifyBackup, out *output) error {
	bar := newProgress(cmd.ErrOrStderr(), 0)
	defer bar.clear()
	report := &messages.VerifyReport{}
	err := s.VerifyEach(cmd.Context(), m, func(u *messages.VerifyUpdate) error {
		if p := u.GetProgress(); p != nil {
			bar.showBytes(p)
			return nil
		}
		report.Results = append(report.Results, u.GetResult())
		return nil
	})
	bar.clear()
	switch {
	case err != nil && (out.json || len(report.GetResults()) == 0):
		return err
	case out.json:
		err = out.message(report)
	default:
		err = errors.Join(err, printVerified(out, "", report))
	}
	return errors.Join(err, unproven(report))
}

func printVerified(out *output, indent string, report *messages.VerifyReport) error {
	var rows [][]string
	for _, r := range report.GetResults() {
		proof := r.GetProof()
		row := []string{r.GetTable(), r.GetBackupId(), "unknown", "-", "-", "-", r.GetFailure().GetMessage()}
		if proof != nil {
			took := proof.GetFinished().AsTime().Sub(proof.GetStarted().AsTime())
			row = []string{r.GetTable(), r.GetBackupId(), verdictName(proof), strconv.FormatUint(proof.GetRows(), 10),
				show.Size(proof.GetBytes()), took.Round(time.Millisecond).String(), proof.GetReason()}
			if other := r.GetFailure().GetMessage(); other != "" {
				row[6] = strings.TrimPrefix(row[6]+"; "+other, "; ")
			}
		}
		if len(r.GetNeighbours()) > 0 {
			row[6] += "; shared with " + strings.Join(r.GetNeighbours(), ", ")
		}
		rows = append(rows, row)
	}
	return out.table(indent, []string{"TABLE", "BACKUP", "VERDICT", "ROWS", "READ", "TOOK", "REASON"}, rows)
}

// verdictName is a verdict as people read it; - without one.
func verdictName(proof *messages.Proof) string {
	if proof == nil {
		return "-"
	}
	return strings.ToLower(strings.TrimPrefix(proof.GetVerdict().String(), "VERDICT_"))
}

// unproven returns an errPartial unless every backup was proven.
func unproven(report *messages.VerifyReport) error {
	var faults []error
	for _, r := range report.GetResults() {
		if r.GetFailure() != nil {
			text := "has no verdict"
			if r.GetProof() != nil {
				text = "is " + verdictName(r.GetProof()) + ", but"
			}
			fault := partialError(fmt.Sprintf("backup %s of table %q %s: %s", r.GetBackupId(), r.GetTable(), text, r.GetFailure().GetMessage()))
			faults = append(faults, messages.WithHint(fault, r.GetFailure().GetHint()))
		}
		if r.GetProof() != nil && r.GetProof().GetVerdict() != messages.Verdict_VERDICT_PROVEN {
			fault := partialError(fmt.Sprintf("backup %s of table %q is red", r.GetBackupId(), r.GetTable()))
			faults = append(faults, messages.WithHint(fault, "take a new one with gabion backup; an older one may be proven: gabion verify --all"))
		}
	}
	return errors.Join(faults...)
}
