package browser

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
)

// TestOperator does what an operator does: signs in, backs up and sees the row turn green, proves, loses rows by mistake and
// restores them, pins, and finds a damaged table in red with its reason; all on pages that nobody loads again.
func TestOperator(t *testing.T) {
	s := serve(t, "tasks,mailbox,broken", func(_, dir string) {
		made, err := ops.Start(t.Context(), &ops.Config{Gabion: actors.Config{Dir: dir, Tables: []string{"broken"}}, DisableSocket: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := made.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "tables/broken/*/MANIFEST-*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("files %v, %v", files, err)
		}
		for _, file := range files {
			if err := os.Truncate(file, 3); err != nil {
				t.Fatal(err)
			}
		}
	}, "--disable-schedule", "--disable-drill")
	w := &messages.Write{}
	for i := range 500 {
		w.Ops = append(w.Ops, messages.PutOp(fmt.Appendf(nil, "task/%04d", i), fmt.Appendf(nil, `{"n":%d,"state":"to do"}`, i)))
	}
	if _, err := s.client.Table("tasks").Write(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, s.base)
	b.open("")
	b.inspect("login")
	b.run(chromedp.SendKeys("input[name=token]", "not the token"), chromedp.Submit("form.login"), chromedp.WaitVisible("[role=alert]"))
	b.quiet("a wrong token", "401")
	b.signIn()
	b.await("the stream of events", `document.getElementById('live').textContent === 'live'`)
	b.run(chromedp.Evaluate(`window.stayed = true`, nil))

	// The damaged one is red, with its reason.
	b.await("broken in red", `document.getElementById('row-broken').classList.contains('red')`)
	if row, why := b.text("#row-broken"), b.text("#why-broken"); !strings.Contains(row, "quarantined") || !strings.Contains(why, "MANIFEST") {
		t.Errorf("the row of the damaged table: %s, because %s", row, why)
	}
	if verdict := b.text("#verdict h1"); verdict != "broken is in danger" {
		t.Errorf("verdict %q", verdict)
	}
	if class := b.text("#row-tasks .mark"); class != "open" {
		t.Errorf("tasks is %q", class)
	}
	b.await("tasks in yellow", `document.getElementById('row-tasks').classList.contains('yellow')`)

	// A backup turns the row green.
	b.run(chromedp.Click("#backup-all"))
	b.await("tasks in green", `document.getElementById('row-tasks').classList.contains('green')`)
	b.await("the run", `document.querySelectorAll('#runs details').length === 1`)
	if runs := b.text("#runs"); !strings.Contains(runs, "1 of 3 failed") {
		t.Errorf("runs %q", runs)
	}
	b.await("the failure is told", `[...document.querySelectorAll('.note.bad')].some(n => n.innerText.includes('broken is not backed up'))`)
	b.await("the button is there again", `!document.getElementById('backup-all').disabled`)

	// A proof.
	b.run(chromedp.Click("#verify-all"))
	b.await("the proofs", `[...document.querySelectorAll('.note')].filter(n => n.innerText.includes('is proven')).length === 2`)
	if !b.is(`window.stayed === true`) {
		t.Error("the page was loaded again")
	}
	b.inspect("operator-overview")

	// Rows are lost, and restored.
	if _, err := s.client.Table("tasks").DeleteRange(t.Context(), []byte("task/"), []byte("task0")); err != nil {
		t.Fatal(err)
	}
	b.open("tables/tasks")
	b.await("no rows", `document.querySelector('.facts dd').textContent === '0'`)
	b.run(chromedp.Evaluate(`window.stayed = true`, nil), chromedp.Click("#restore-table"), chromedp.WaitVisible("#confirm-name"))
	if plan := b.text("dialog"); !strings.Contains(plan, "500") || !strings.Contains(plan, "1 operation") {
		t.Errorf("the plan: %s", plan)
	}
	b.run(chromedp.SendKeys("#confirm-name", "task"))
	if !b.is(`document.getElementById('confirm-restore').disabled`) {
		t.Error("another name was taken")
	}
	b.audit("the plan")
	b.picture("restore")
	b.run(chromedp.SendKeys("#confirm-name", "s"+kb.Enter))
	b.await("the rows are back", `document.querySelector('.facts dd').textContent === '500'`)
	b.await("it is told", `[...document.querySelectorAll('.note')].some(n => n.innerText.includes('is restored from'))`)
	if !b.is(`window.stayed === true && !document.getElementById('dialog').open`) {
		t.Error("the page was loaded again, or the dialog stays")
	}
	if value, err := s.client.Table("tasks").Get(t.Context(), []byte("task/0007")); err != nil || !strings.Contains(string(value), `"n":7`) {
		t.Errorf("restored row %s, %v", value, err)
	}
	b.open("tables/tasks?as=json&prefix=task/00")
	b.inspect("operator-table")
	b.run(chromedp.Click("#next-rows"), chromedp.WaitVisible(".rows"))
	if rows := b.text(".rows"); !strings.Contains(rows, "task/0050") {
		t.Errorf("the next rows: %s", rows)
	}

	// One backup.
	b.run(chromedp.Click("#backups tbody th a"), chromedp.WaitVisible("#pin"), chromedp.Click("#pin"), chromedp.WaitVisible("#unpin"))
	b.inspect("operator-backup")
	b.run(chromedp.Click("#unpin"), chromedp.WaitVisible("#pin"))

	b.open("tables/broken")
	b.inspect("operator-broken")
	b.open("tables/none")
	b.quiet("no such table", "404")
	b.inspect("operator-problem")

	// The keyboard reaches a button, and what it does is seen.
	b.open("")
	b.run(chromedp.Evaluate(`document.getElementById('backup-tasks').focus()`, nil), chromedp.KeyEvent(kb.Enter))
	b.await("backed up by the keyboard", `document.querySelectorAll('#runs details').length === 2`)
	b.quiet("the end")
}

func (b *browser) is(expression string) bool {
	b.Helper()
	var is bool
	b.run(chromedp.Evaluate(expression, &is))
	return is
}

// TestDemo looks at what gabion demo leaves, with a fortnight of history.
func TestDemo(t *testing.T) {
	tables := "agent_channels,agent_mailbox,agentcom_config,channel_history,message_history,task_dead_letter,task_queue,thread_messages,thread_replies"
	s := serve(t, tables, func(gabion, dir string) {
		if out, err := exec.Command(gabion, "demo", "--dir", dir).CombinedOutput(); err != nil {
			t.Fatalf("demo: %v\n%s", err, out)
		}
		writeHistory(t, dir, strings.Split(tables, ","))
	})
	b := newBrowser(t, s.base)
	b.signIn()
	b.await("all is well", `document.querySelector('#verdict h1').textContent === 'All 9 tables are safe'`)
	b.open("")
	b.await("charts", `document.querySelectorAll('.chart canvas').length === 3`)
	b.inspect("demo-overview")
	b.open("tables/message_history")
	b.await("charts", `document.querySelectorAll('.chart canvas').length === 2`)
	b.inspect("demo-table")
	b.run(chromedp.Click("#backups tbody th a"), chromedp.WaitVisible("#files-title"))
	b.inspect("demo-backup")
}

// writeHistory makes a history as a fortnight leaves it.
func writeHistory(t *testing.T, dir string, tables []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "history.json"))
	if err != nil {
		t.Fatal(err)
	}
	var history map[string]any
	if err := json.Unmarshal(data, &history); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	var rows []any
	for i, table := range slices.Sorted(slices.Values(tables)) {
		var points []any
		for h := 14 * 24; h > 0; h -= 3 {
			n := float64(100*(i+1)) * (2 + math.Sin(float64(h)/24) - float64(h)/400)
			points = append(points, map[string]any{"time": now.Add(-time.Duration(h) * time.Hour).Format(time.RFC3339), "count": fmt.Sprint(int(n)),
				"liveBytes": fmt.Sprint(int(n * 80)), "diskBytes": fmt.Sprint(int(n * 120))})
		}
		rows = append(rows, map[string]any{"table": table, "points": points})
	}
	history["tables"] = rows
	if data, err = json.Marshal(history); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "history.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
}
