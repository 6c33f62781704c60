package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/ops/show"
)

const (
	formatJSONLines = "jsonl"
	formatControl   = "deb822"

	// batchRows and batchBytes are the most that a batch holds. A batch is one Write: one fsync, all of it or nothing.
	batchRows  = 1000
	batchBytes = 1 << 20
	// batchTimeout bounds the batch under way when the import is interrupted.
	batchTimeout = 30 * time.Second
)

// importFlags say how a file is read.
type importFlags struct {
	format, key string
	skipBad     bool
	fromLine    int
}

func newImport(out *output) *cobra.Command {
	var at place
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "import TABLE [FILE]",
		Short: "Store the records of a file as rows",
		Long: `Store the records of a file, or of standard input, as rows of a table that there is. A key that is there gets the
new value.

A file of JSON Lines is one that export wrote, {"key":"...","value":"..."} on each line; with --key FIELD any
object may stand on a line: FIELD is the key, and the line is the value. A file in Debian's control format
(--format deb822) has paragraphs: their field Package, or --key FIELD, is the key, and the paragraph is the value.
The text is UTF-8, with or without a byte order mark; a record names each of its fields once.

Rows are written in batches, each of which is durable before the next is begun. The import stops at the first record
that is no row, and tells its line; --skip-bad leaves it out and counts it. An import that was stopped says at which
line to go on: --from-line.`,
		Example: `  gabion import tasks tasks.jsonl --dir DIR
  gabion import packages /var/lib/dpkg/status --format deb822 --dir DIR
  zcat events.jsonl.gz | gabion import events --key id --dir DIR`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 || len(args) == 2 {
				return nil
			}
			return exactlyFor("TABLE [FILE]", 2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			source, total, err := openRecords(cmd.InOrStdin(), args[1:])
			if err != nil {
				return err
			}
			defer source.Close()
			reading, done := context.WithCancel(cmd.Context())
			defer done()
			return at.writeTable(cmd.Context(), args[0], func(t ops.TableAccess) error {
				i := &importing{flags: flags, table: t, progress: newProgress(cmd.ErrOrStderr(), total), begun: time.Now()}
				err := i.run(cmd.Context(), flags.records(i.progress.counting(newInterruptible(reading, source))))
				i.progress.clear()
				if err != nil {
					err = messages.WithHint(err, fmt.Sprintf("go on with --from-line %d", i.goOn()))
				}
				return errors.Join(i.tell(out), err)
			})
		},
	}
	at.addFlags(cmd)
	at.completeTables(cmd, 1)
	cmd.Flags().StringVar(&flags.format, "format", formatJSONLines, "the file is `jsonl|deb822`")
	cmd.Flags().StringVar(&flags.key, "key", "", "the key is the record's `FIELD`")
	cmd.Flags().BoolVar(&flags.skipBad, "skip-bad", false, "leave out records that are no rows, and count them")
	cmd.Flags().IntVar(&flags.fromLine, "from-line", 1, "begin at line `N` of the file")
	return cmd
}

func (f *importFlags) check() error {
	if f.format != formatJSONLines && f.format != formatControl {
		return usagef("--format is jsonl or deb822", "unknown format %q", f.format)
	}
	if f.fromLine < 1 {
		return usagef("lines are counted from 1", "from-line is %d", f.fromLine)
	}
	return nil
}

func (f *importFlags) records(r io.Reader) records {
	if f.format == formatControl {
		field := f.key
		if field == "" {
			field = "Package"
		}
		return &controlFile{p: newParagraphs(r), field: strings.ToLower(field)}
	}
	return newJSONLines(r, f.key)
}

// openRecords opens the file named, or standard input, and tells its size where it has one.
func openRecords(stdin io.Reader, args []string) (io.ReadCloser, int64, error) {
	if len(args) == 0 || args[0] == "-" {
		if f, ok := stdin.(*os.File); ok {
			return f, 0, nil
		}
		return io.NopCloser(stdin), 0, nil
	}
	f, err := os.Open(args[0])
	if err != nil {
		return nil, 0, fmt.Errorf("open records: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open records: %w", err), f.Close())
	}
	if info.IsDir() {
		return nil, 0, errors.Join(usagef("name a file", "%s is a directory", args[0]), f.Close())
	}
	return f, info.Size(), nil
}

// importing is one import. What it counts is durable.
type importing struct {
	flags    importFlags
	table    ops.TableAccess
	progress *progress
	begun    time.Time

	batch messages.Write
	bytes int // of the batch
	next  int // the line after the batch

	rows, skipped int
	// resume is the line at which the import goes on, 0 before the first batch is durable.
	resume int
}

// run writes every record, and returns why it stopped before the end.
func (i *importing) run(ctx context.Context, source records) error {
	for {
		r, err := source.next()
		var bad *badRecord
		switch {
		case ctx.Err() != nil:
			return i.stopped(ctx, context.Cause(ctx))
		case errors.Is(err, io.EOF):
			return i.ended(ctx, source.lines())
		case errors.As(err, &bad) && bad.line < i.flags.fromLine:
			continue
		case errors.As(err, &bad) && i.flags.skipBad:
			i.skipped++
			continue
		case err != nil:
			err = fmt.Errorf("import: %w", err)
			if bad != nil {
				err = messages.WithHint(err, "correct the record, or leave out what is no row with --skip-bad")
			}
			return i.stopped(ctx, err)
		case r.line < i.flags.fromLine && i.flags.fromLine < r.next-1:
			return usagef(fmt.Sprintf("begin at line %d or %d", r.line, r.next), "line %d is in the middle of the record at line %d",
				i.flags.fromLine, r.line)
		case r.line < i.flags.fromLine:
			continue
		}
		i.batch.Ops = append(i.batch.Ops, messages.PutOp(r.key, r.value))
		i.next = r.next
		if i.bytes += len(r.key) + len(r.value); i.bytes < batchBytes && len(i.batch.Ops) < batchRows {
			continue
		}
		if err := i.write(ctx); err != nil {
			return err
		}
		i.progress.show(i.rows)
	}
}

// ended writes what is gathered at the end of a file of so many lines.
func (i *importing) ended(ctx context.Context, lines int) error {
	if err := i.write(ctx); err != nil {
		return err
	}
	if i.flags.fromLine > lines+1 {
		return usagef("lines are counted from 1", "from-line is %d, but there are %s", i.flags.fromLine, show.Plural(lines, "line"))
	}
	i.resume = lines + 1
	return nil
}

// stopped writes what is gathered, so that the import can go on behind it, and returns why it stopped.
func (i *importing) stopped(ctx context.Context, why error) error {
	return errors.Join(why, i.write(ctx))
}

// write makes the batch durable. It is not cut short by an interrupt: who resumes must know what is there.
func (i *importing) write(ctx context.Context) error {
	if len(i.batch.Ops) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	for {
		_, err := i.table.Write(ctx, &messages.Write{Ops: i.batch.Ops})
		if err == nil {
			break
		}
		var failure *messages.Failure
		if !errors.As(err, &failure) || failure.GetOutcomeUnknown() || failure.GetRetryAfter() == nil || !waits(ctx, failure.GetRetryAfter().AsDuration()) {
			return fmt.Errorf("import: %w", err)
		}
	}
	i.rows += len(i.batch.Ops)
	i.resume = i.next
	i.batch.Ops, i.bytes = nil, 0
	return nil
}

// waits waits for a table that has too much to do, or reopens, and tells whether there is time left.
func waits(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(min(d, time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// importReport is what import prints with --json.
type importReport struct {
	Rows       int   `json:"rows"`
	Skipped    int   `json:"skipped"`
	ResumeLine int   `json:"resume_line"`
	TookMS     int64 `json:"took_ms"`
}

// tell prints what was imported, also when the import was stopped.
func (i *importing) tell(out *output) error {
	took := time.Since(i.begun)
	if out.json {
		return out.line(importReport{Rows: i.rows, Skipped: i.skipped, ResumeLine: i.goOn(), TookMS: took.Milliseconds()})
	}
	text := fmt.Sprintf("imported %s in %v", show.Plural(i.rows, "row"), took.Round(time.Millisecond))
	if i.skipped > 0 {
		text += fmt.Sprintf(", skipped %s", show.Plural(i.skipped, "bad record"))
	}
	return out.printf("%s; the next line is %d\n", text, i.goOn())
}

// goOn is the line after what is imported.
func (i *importing) goOn() int { return max(i.resume, i.flags.fromLine) }
