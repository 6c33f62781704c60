package main

import (
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// jsonTeller tells the demo to programs: one object to a line, each with a type.
type jsonTeller struct{ out *output }

var _ teller = jsonTeller{}

// jsonLine is one step. Which of the other fields is there depends on the type.
type jsonLine struct {
	Type      string    `json:"type"`
	Run       int       `json:"run,omitempty"`
	Title     string    `json:"title,omitempty"`
	Dir       string    `json:"dir,omitempty"`
	BackupDir string    `json:"backup_dir,omitempty"`
	Reads     *begin    `json:"reads,omitempty"`
	Imported  *imported `json:"imported,omitempty"`
	// Message is the protobuf message of the type.
	Message any `json:"message,omitempty"`
}

func (t jsonTeller) say(l jsonLine) error {
	if m, ok := l.Message.(proto.Message); ok {
		data, err := marshal(m)
		if err != nil {
			return err
		}
		l.Message = data
	}
	if err := t.out.line(l); err != nil {
		return err
	}
	return t.out.flush()
}

func (t jsonTeller) reads(b begin) error { return t.say(jsonLine{Type: "reads", Reads: &b}) }

func (t jsonTeller) started(dir, backupDir string) error {
	return t.say(jsonLine{Type: "started", Dir: dir, BackupDir: backupDir})
}

func (t jsonTeller) chapter(run int, title string) error {
	return t.say(jsonLine{Type: "chapter", Run: run, Title: title})
}

func (t jsonTeller) imported(i imported) error {
	return t.say(jsonLine{Type: "imported", Imported: &i})
}

func (t jsonTeller) event(event proto.Message) error {
	return t.say(jsonLine{Type: string(event.ProtoReflect().Descriptor().Name()), Message: event})
}

func (t jsonTeller) report(run int, report *messages.BackupReport) error {
	return t.say(jsonLine{Type: "BackupReport", Run: run, Message: report})
}

// retained says nothing: the report has every decision.
func (t jsonTeller) retained([]*messages.RetentionDecision) error { return nil }

func (t jsonTeller) verified(report *messages.VerifyReport) error {
	return t.say(jsonLine{Type: "VerifyReport", Message: report})
}

func (t jsonTeller) restored(_ int, report *messages.RestoreReport) error {
	return t.say(jsonLine{Type: "RestoreReport", Message: report})
}

func (t jsonTeller) health(report *messages.HealthReport) error {
	return t.say(jsonLine{Type: "HealthReport", Message: report})
}

func (t jsonTeller) done(dir string) error { return t.say(jsonLine{Type: "done", Dir: dir}) }
