package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
)

func newEvents(out *output) *cobra.Command {
	var at place
	var m messages.EventsRequest
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print the events of a running server",
		Long: `Print the events that a running server remembers, the last 1,024, oldest first: runs that begin and end, tables
that are backed up or change their state. With --json each is an object on a line of its own.`,
		Example: "  gabion events --follow --dir DIR",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := at.named(); err != nil {
				return err
			}
			client, err := ops.Dial(cmd.Context(), at.dir)
			if errors.Is(err, ops.ErrNoServer) {
				return messages.WithHint(err, "start one with gabion serve, or let the host call ops.ListenSocket")
			}
			if err != nil {
				return err
			}
			defer client.Close()
			return client.Events(cmd.Context(), &m, func(e *messages.Event) error { return printEvent(out, e) })
		},
	}
	at.addFlags(cmd)
	cmd.Flags().BoolVar(&m.Follow, "follow", false, "go on with the events to come")
	cmd.Flags().Uint64Var(&m.After, "after", 0, "begin after the event with `ID`")
	return cmd
}

// printEvent prints an event at once: who follows waits for it.
func printEvent(out *output, e *messages.Event) error {
	var err error
	if out.json {
		data, bad := marshal(e)
		if bad != nil {
			return bad
		}
		err = out.line(data)
	} else {
		err = out.printf("%s  %s\n", e.GetTime().AsTime().Format(time.RFC3339), printable(eventText(inner(e))))
	}
	return errors.Join(err, out.flush())
}

// inner is the event in the envelope.
func inner(e *messages.Event) proto.Message {
	switch i := e.GetEvent().(type) {
	case *messages.Event_BackupStarted:
		return i.BackupStarted
	case *messages.Event_TableBackedUp:
		return i.TableBackedUp
	case *messages.Event_BackupComplete:
		return i.BackupComplete
	case *messages.Event_TableStateChanged:
		return i.TableStateChanged
	}
	return e
}

// eventText is an event in one line.
func eventText(event proto.Message) string {
	switch e := event.(type) {
	case *messages.BackupStarted:
		return fmt.Sprintf("backup started: run %s, %s", e.GetRunId(), plural(len(e.GetTables()), "table"))
	case *messages.TableBackedUp:
		return fmt.Sprintf("table %s: %s", outcomeName(e.GetResult().GetOutcome()), e.GetResult().GetTable())
	case *messages.BackupComplete:
		return fmt.Sprintf("backup complete: %d backed up, %d failed, in %v", len(e.GetBackedUp()), len(e.GetFailed()),
			e.GetFinished().AsTime().Sub(e.GetStarted().AsTime()).Round(time.Millisecond))
	case *messages.TableStateChanged:
		return fmt.Sprintf("table %s: %s, was %s", stateName(e.GetTo()), e.GetTable(), stateName(e.GetFrom()))
	}
	return fmt.Sprintf("event of a newer server: %T", event)
}
