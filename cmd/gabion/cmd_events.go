package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/ops/show"
)

func newEvents(out *output) *cobra.Command {
	var at place
	var m messages.ListEvents
	var follow bool
	var since string
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print what happened, and what happens",
		Long: `Print the events that the directory's log keeps, of the last starts too, oldest first: runs that begin and end,
tables that are backed up or change their state. With --json each is an object on a line of its own.`,
		Example: `  gabion events --since 24h --dir DIR
  gabion events --since 2026-02-11T08:00:00Z --dir DIR
  gabion events --since 0s --follow --dir DIR     only what comes`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("since") {
				when, err := parseTime(time.Now(), "--since", since)
				if err != nil {
					return err
				}
				m.Since = timestamppb.New(when)
			}
			if !follow {
				return at.read(cmd.Context(), nil, func(s *ops.Session) error {
					return printEvents(out, s.Events(cmd.Context(), &m))
				})
			}
			return at.dial(cmd.Context(), "without --follow it prints what was logged", func(c *ops.Client) error {
				return printEvents(out, c.FollowEvents(cmd.Context(), &m))
			})
		},
	}
	at.addFlags(cmd)
	cmd.Flags().BoolVar(&follow, "follow", false, "go on with the events to come in a running server")
	cmd.Flags().StringVar(&since, "since", "", "leave out what was before `TIME`: 24h for so long ago, 2026-02-11, or 2026-02-11T08:00:00Z")
	cmd.Flags().Uint64Var(&m.After, "after", 0, "begin after the event with the number `SEQ`")
	return cmd
}

// parseTime reads a time in the past: how long ago, a day in UTC, or an instant.
func parseTime(now time.Time, flag, text string) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if when, err := time.Parse(layout, text); err == nil {
			return when, nil
		}
	}
	return time.Time{}, usagef("write 24h for so long ago, 2026-02-11, or 2026-02-11T08:00:00Z", "%s is %q, not a time", flag, text)
}

// printEvents prints each event at once: who follows waits for it.
func printEvents(out *output, events iter.Seq2[*messages.LoggedEvent, error]) error {
	for e, err := range events {
		if err == nil && out.json {
			var data json.RawMessage
			if data, err = marshal(e); err == nil {
				err = out.line(data)
			}
		} else if err == nil {
			err = out.printf("%s  %s\n", e.GetTime().AsTime().Format(time.RFC3339), show.Printable(eventText(e.Message())))
		}
		if err := errors.Join(err, out.flush()); err != nil {
			return err
		}
	}
	return nil
}

// eventText is an event in one line.
func eventText(event proto.Message) string {
	switch e := event.(type) {
	case *messages.BackupStarted:
		return fmt.Sprintf("backup started: run %s, %s", e.GetRunId(), show.Plural(len(e.GetTables()), "table"))
	case *messages.TableBackedUp:
		return because(fmt.Sprintf("table %s: %s", show.Outcome(e.GetResult().GetOutcome()), e.GetResult().GetTable()), e.GetResult().GetFailure().GetMessage())
	case *messages.BackupComplete:
		return fmt.Sprintf("backup complete: %d backed up, %d failed, in %v", len(e.GetBackedUp()), len(e.GetFailed()),
			e.GetFinished().AsTime().Sub(e.GetStarted().AsTime()).Round(time.Millisecond))
	case *messages.TableStateChanged:
		return because(fmt.Sprintf("table %s: %s, was %s", show.State(e.GetTo()), e.GetTable(), show.State(e.GetFrom())), e.GetReason())
	case *messages.BackupVerified:
		p := e.GetProof()
		return because(fmt.Sprintf("backup %s: %s/%s, by %s", verdictName(p), p.GetTable(), p.GetBackupId(), p.GetBy()), p.GetReason())
	case *messages.TableRestored:
		return restoredText(e)
	case *messages.LossAcknowledged:
		text := fmt.Sprintf("loss acknowledged: table %s %s", e.GetLoss().GetTable(), show.Loss(e.GetLoss()))
		if by := e.GetLoss().GetBy(); by != "" {
			text += ", by " + by
		}
		return because(text, e.GetLoss().GetNote())
	case nil:
		return "event that is too long for the log, or of a newer version"
	}
	return fmt.Sprintf("event %s", event.ProtoReflect().Descriptor().Name())
}

func restoredText(e *messages.TableRestored) string {
	text := "table restored: "
	if e.GetHealed() {
		text = "table healed: "
	}
	text += e.GetTable() + ", from " + e.GetSource()
	if e.GetBackupId() != "" {
		text += " " + e.GetBackupId()
	}
	if e.GetLostTo() > 0 {
		text += fmt.Sprintf(", without the operations with seq %d to %d", e.GetLostFrom(), e.GetLostTo())
	}
	if n := e.GetRowsMissing(); n > 0 {
		text += ", without " + show.Plural(int(n), "row") + " whose blocks are damaged"
	}
	return because(text, e.GetReason())
}

// because is text with the reason, where there is one.
func because(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ": " + reason
}
