package browser

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
)

// loseRows has a process die that has written, and damages what it wrote last: a server that heals finds a loss.
func loseRows(t *testing.T, bin, dir string) {
	t.Helper()
	cmd := exec.Command(bin, "serve", "--dir", dir, "--tables", "tasks", "--disable-schedule", "--disable-drill")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end := func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	defer end()
	var client *ops.Client
	for deadline := time.Now().Add(patience); client == nil; {
		var err error
		if client, err = ops.Dial(t.Context(), dir); err == nil {
			// A server answers before its tables are open.
			if _, err = client.Table("tasks").Get(t.Context(), []byte("0")); errors.Is(err, messages.ErrUnavailable) {
				client.Close()
				client = nil
			}
		}
		if client == nil && time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	defer client.Close()
	value := func(i int) []byte { return fmt.Appendf(nil, "row %02d of the table%s", i, strings.Repeat(".", 5000)) }
	for i := range 40 {
		if _, err := client.Table("tasks").Put(t.Context(), fmt.Appendf(nil, "%02d", i), value(i)); err != nil {
			t.Fatal(err)
		}
		if i == 9 {
			if _, err := client.Backup(t.Context(), &messages.BackupAll{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	end()
	files, err := filepath.Glob(filepath.Join(dir, "tables/tasks/*/*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(data, []byte("row 25 of")); at >= 0 {
			data[at] ^= 1
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no WAL has row 25: %v", files)
}

// TestLoss: what a healing lost stands on the overview in red, with what is missing, until somebody takes note of it there; then the
// page says so by itself.
func TestLoss(t *testing.T) {
	s := serve(t, "tasks", func(bin, dir string) { loseRows(t, bin, dir) }, "--disable-schedule", "--disable-drill", "--self-heal")
	b := newBrowser(t, s.base)
	b.signIn()
	b.await("the loss", `document.querySelectorAll('#losses > ul > li').length === 1`)
	if text := b.text("#losses"); !strings.Contains(text, "tasks lost the operations with seq 26 to 40") || !strings.Contains(text, "Restored from the table's own files.") {
		t.Errorf("the loss: %s", text)
	}
	b.await("tasks in red", `document.getElementById('row-tasks').classList.contains('red')`)
	if verdict := b.text("#verdict"); !strings.Contains(verdict, "tasks is in danger") || !strings.Contains(verdict, "nobody has acknowledged loss") {
		t.Errorf("verdict %q", verdict)
	}
	b.inspect("loss")
	b.run(chromedp.Evaluate(`window.stayed = true`, nil), chromedp.Click("#losses button"))
	b.await("it is told", `[...document.querySelectorAll('.note')].some(n => n.innerText.includes('the loss of tasks is acknowledged'))`)
	b.await("no loss", `document.querySelectorAll('#losses li').length === 0`)
	b.await("tasks in another color", `!document.getElementById('row-tasks').classList.contains('red')`)
	if !b.is(`window.stayed === true`) {
		t.Error("the page was loaded again")
	}
	losses, err := s.client.Losses(t.Context(), &messages.ListLosses{})
	if err != nil || len(losses) != 1 || losses[0].GetAcknowledged() == nil || losses[0].GetBy() != "dashboard" {
		t.Errorf("losses %v, %v", losses, err)
	}
	b.quiet("the end")
}
