package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The nine tables of the demo: those of a hub through which agents send each other tasks and messages.
const (
	taskQueue      = "task_queue"
	taskDeadLetter = "task_dead_letter"
	agentMailbox   = "agent_mailbox"
	messageHistory = "message_history"
	agentChannels  = "agent_channels"
	channelHistory = "channel_history"
	agentcomConfig = "agentcom_config"
	threadMessages = "thread_messages"
	threadReplies  = "thread_replies"
)

var demoTables = []string{
	taskQueue, taskDeadLetter, agentMailbox, messageHistory, agentChannels, channelHistory,
	agentcomConfig, threadMessages, threadReplies,
}

// row is one entry for one table.
type row struct {
	table, key string
	value      []byte
}

// rowsOf turns a paragraph into what a hub would keep of it, as its message number seq:
//
//	message_history   seq/package             the paragraph, word for word
//	channel_history   section/seq             which package: a section is a channel
//	agent_mailbox     maintainer/seq          a note to the agent: a maintainer is an agent
//	thread_messages   package                 what it depends on: a package opens a thread
//	thread_replies    package/number          each dependency
//	task_queue        priority/seq            packages of a priority that asks for a check
//	task_dead_letter  seq/package             those that did not come to be installed
func rowsOf(p *paragraph, seq int) []row {
	name, section, version := p.fields["package"], p.fields["section"], p.fields["version"]
	if section == "" {
		section = "unsorted"
	}
	number := fmt.Sprintf("%08d", seq)
	rows := []row{
		{messageHistory, number + "/" + name, []byte(p.text)},
		{channelHistory, section + "/" + number, document("package", name, "version", version)},
	}
	if agent := address(p.fields["maintainer"]); agent != "" {
		rows = append(rows, row{agentMailbox, agent + "/" + number, document("package", name, "version", version)})
	}
	if depends := p.fields["depends"]; depends != "" {
		rows = append(rows, row{threadMessages, name, []byte(depends)})
		for i, dependency := range strings.Split(depends, ",") {
			key := fmt.Sprintf("%s/%04d", name, i)
			rows = append(rows, row{threadReplies, key, []byte(strings.TrimSpace(dependency))})
		}
	}
	switch priority := p.fields["priority"]; priority {
	case "required", "important", "standard":
		rows = append(rows, row{taskQueue, priority + "/" + number, document("task", "check", "package", name)})
	}
	if status := p.fields["status"]; status != "" && !strings.HasSuffix(status, " installed") {
		rows = append(rows, row{taskDeadLetter, number + "/" + name, document("package", name, "status", status)})
	}
	return rows
}

// address is the part of "Name <address>" that a mailbox is known by.
func address(maintainer string) string {
	if _, rest, ok := strings.Cut(maintainer, "<"); ok {
		maintainer, _, _ = strings.Cut(rest, ">")
	}
	return strings.TrimSpace(maintainer)
}

// document is a JSON object of names and values.
func document(pairs ...string) []byte {
	fields := make(map[string]string, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		fields[pairs[i]] = pairs[i+1]
	}
	data, err := json.Marshal(fields)
	if err != nil {
		panic(err) // a map of strings always marshals
	}
	return data
}
