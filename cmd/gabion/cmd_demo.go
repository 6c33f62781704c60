package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
)

func newDemo(out *output) *cobra.Command {
	d := &demo{open: openInput}
	var verbose bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Fill nine tables, back them up four times, and show what happens",
		Long: `Start the nine tables of an agents' hub, fill them with real input, and back them up four times with changes
in between. One table is closed during the third run: the others are backed up nevertheless. Printed are what
each run did, what was proven and restored, and how every table is; with --verbose every event and decision too.

The input is ` + dpkgStatus + `, or a small example where there is none. The directory stays, and the commands
that are printed last serve it and restore a table. It must be new, empty, or one that an earlier demo made.`,
		Example: "  gabion demo\n  gabion demo --dir /tmp/gabion-demo --verbose",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case out.json:
				d.tell = jsonTeller{out}
			case verbose:
				d.tell = textTeller{out}
			default:
				d.tell = &briefTeller{textTeller: textTeller{out}}
			}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&d.dir, "dir", "", "fill `DIR` (default a new one among the temporary files)")
	cmd.Flags().StringVar(&d.input, "input", "", "import `FILE`, in Debian's control format (default "+dpkgStatus+")")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "print every event, and what each run and retention did to each table")
	return cmd
}

// begin says what a demo is about to read, before it does.
type begin struct {
	Input string `json:"input"`
	// Again is set where an earlier demo filled the directory.
	Again bool `json:"again"`
}

// demo is a host program with a story.
type demo struct {
	dir   string
	input string
	tell  teller
	open  func(path string) (io.ReadCloser, string, error)
	// source is the input, opened, and what to call it.
	source     io.ReadCloser
	sourceName string
	again      bool // an earlier demo filled the directory

	system *actor.ActorSystem
	gabion *actors.Gabion
	// events carries each event to the goroutine that tells the story.
	events chan proto.Message
	// number counts the messages that the demo itself posted.
	number int
}

// teller prints the story, as text or as JSON. Each call flushes.
type teller interface {
	reads(begin) error
	started(dir, backupDir string) error
	imported(imported) error
	chapter(run int, title string) error
	event(proto.Message) error
	report(run int, report *messages.BackupReport) error
	retained([]*messages.RetentionDecision) error
	verified(*messages.VerifyReport) error
	restored(lost int, report *messages.RestoreReport) error
	health(*messages.HealthReport) error
	done(dir string) error
}

// chapters are the four runs, each after what happens before it.
var chapters = []struct {
	title  string
	before func(*demo, context.Context) error
	// closed is the table that is closed during the run.
	closed string
}{
	{"everything is new", (*demo).importAll, ""},
	{"some tables have changed", (*demo).work, ""},
	{threadReplies + " is closed", (*demo).closeOne, threadReplies},
	{threadReplies + " is open again", (*demo).openAgain, ""},
}

func (d *demo) run(ctx context.Context) (err error) {
	// First of all: a demo without input must leave no directory.
	d.source, d.sourceName, err = d.open(d.input)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.source.Close()) }()
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "gabion-demo-"); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	}
	if err := ops.AskDisk(d.dir, func() error { return ops.CheckUser(d.dir, 0) }).Within(ops.DiskLimit); err != nil {
		return err
	}
	err = patiently(ctx, func() (err error) {
		d.again, err = checkDemoDir(d.dir)
		return err
	})
	if err != nil {
		return err
	}
	if err := d.tell.reads(begin{d.sourceName, d.again}); err != nil {
		return err
	}
	d.system = quietSystem()
	err = patiently(ctx, func() (err error) {
		d.gabion, err = actors.Start(ctx, d.system,
			actors.Config{Dir: d.dir, Tables: demoTables, DisableSchedule: true, DisableDrill: true})
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(d.story(ctx), stop(ctx, d.gabion))
}

// story is what a reader sees.
func (d *demo) story(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	d.events = make(chan proto.Message)
	defer d.gabion.Subscribe(func(event proto.Message) {
		select {
		case d.events <- event:
		case <-ctx.Done():
		}
	})()
	health, err := d.gabion.Health(ctx)
	if err != nil {
		return err
	}
	if err := d.tell.started(health.GetDir(), health.GetBackupDir()); err != nil {
		return err
	}
	if _, err := d.gabion.Table(agentcomConfig).Put(ctx, []byte(madeByKey), []byte("gabion demo")); err != nil {
		return err
	}
	var last *messages.BackupReport
	for i, c := range chapters {
		title := c.title
		if i == 0 && d.again {
			title = "the same input once more"
		}
		if err := d.tell.chapter(i+1, title); err != nil {
			return err
		}
		if err := c.before(d, ctx); err != nil {
			return err
		}
		report, err := d.backUp(ctx, fmt.Sprintf("demo run %d", i+1))
		if err != nil {
			return err
		}
		if err := errors.Join(d.tell.report(i+1, report), expect(report, c.closed)); err != nil {
			return err
		}
		last = report
	}
	if err := d.tell.retained(last.GetRetained()); err != nil {
		return err
	}
	if err := d.prove(ctx); err != nil {
		return err
	}
	if err := d.restore(ctx); err != nil {
		return err
	}
	if health, err = d.gabion.Health(ctx); err != nil {
		return err
	}
	return errors.Join(d.tell.health(health), unhealthy(health), d.tell.done(health.GetDir()))
}

// backUp runs BackupAll and tells its events meanwhile, up to its BackupComplete.
func (d *demo) backUp(ctx context.Context, label string) (report *messages.BackupReport, err error) {
	type answer struct {
		report *messages.BackupReport
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		report, err := d.gabion.Backup(ctx, &messages.BackupAll{Label: label})
		answers <- answer{report, err}
	}()
	for complete := false; !complete || report == nil; {
		select {
		case event := <-d.events:
			_, complete = event.(*messages.BackupComplete)
			if err := d.tell.event(event); err != nil {
				return nil, err
			}
		case a := <-answers:
			if a.err != nil {
				return nil, a.err
			}
			report = a.report
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return report, nil
}

// expect returns an error unless the report is as the demo means it: closed is the one table that failed.
func expect(report *messages.BackupReport, closed string) error {
	var errs []error
	for _, result := range report.GetSet().GetResults() {
		failed := result.GetOutcome() == messages.Outcome_OUTCOME_FAILED
		switch {
		case failed && result.GetTable() != closed:
			errs = append(errs, fmt.Errorf("back up: %w", result.GetFailure()))
		case !failed && result.GetTable() == closed:
			errs = append(errs, fmt.Errorf("back up: table %q is closed but was backed up", closed))
		}
	}
	for _, fault := range report.GetFaults() {
		errs = append(errs, errors.New(fault))
	}
	return errors.Join(errs...)
}
