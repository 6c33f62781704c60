package main

import (
	"slices"
	"strings"
	"testing"
)

func TestRowsOf(t *testing.T) {
	for name, test := range map[string]struct {
		input string
		want  []string // table key=value
	}{
		"all there is": {
			"Package: a\nStatus: install ok half-installed\nPriority: required\nSection: mail\n" +
				"Maintainer: Ann <ann@x.example>\nVersion: 1\nDepends: b (>= 1), c | d\n",
			[]string{
				"message_history 00000007/a=",
				`channel_history mail/00000007={"package":"a","version":"1"}`,
				`agent_mailbox ann@x.example/00000007={"package":"a","version":"1"}`,
				"thread_messages a=b (>= 1), c | d",
				"thread_replies a/0000=b (>= 1)",
				"thread_replies a/0001=c | d",
				`task_queue required/00000007={"package":"a","task":"check"}`,
				`task_dead_letter 00000007/a={"package":"a","status":"install ok half-installed"}`,
			},
		},
		"as little as there can be": {
			"Package: a\n",
			[]string{
				"message_history 00000007/a=",
				`channel_history unsorted/00000007={"package":"a","version":""}`,
			},
		},
		"installed, and of no interest to agents": {
			"Package: a\nStatus: install ok installed\nPriority: optional\nSection: mail\nMaintainer: Ann\n",
			[]string{
				"message_history 00000007/a=",
				`channel_history mail/00000007={"package":"a","version":""}`,
				`agent_mailbox Ann/00000007={"package":"a","version":""}`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := readAll(strings.NewReader(test.input))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range rowsOf(all[0], 7) {
				value := string(r.value)
				if r.table == messageHistory {
					if value != test.input {
						t.Errorf("message is %q, want the paragraph itself", value)
					}
					value = ""
				}
				got = append(got, r.table+" "+r.key+"="+value)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("rows are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}
