package browser

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// charts has each chart of the page with what stands in its place, and whether it is drawn.
const chartsOfPage = `[...document.querySelectorAll('[data-chart]')].map(c => c.dataset.chart + ': ' + (c.querySelector('canvas') ? 'drawn' : c.innerText)).join('\n')`

const (
	noSizes = "No points yet: the first comes within ten minutes, while the table is open."
	noRuns  = "No points yet: the first comes with the first run."
)

// drawAgain empties every chart, as no server fills them, and has the page's own script draw them.
func (b *browser) drawAgain() {
	b.Helper()
	b.run(chromedp.Evaluate(`document.querySelectorAll('[data-chart]').forEach(c => c.replaceChildren());
		import(new URL(document.body.dataset.root + 'assets/charts.js', location.href)).then(m => m.charts()).catch(() => null)`, nil,
		func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
}

// wantCharts wants the script to say this in the places of the charts.
func (b *browser) wantCharts(when, want string) {
	b.Helper()
	b.drawAgain()
	if got := b.text("body"); got == "" {
		b.Errorf("%s: the page is empty", when)
	}
	var got string
	b.run(chromedp.Evaluate(chartsOfPage, &got))
	if got != want {
		b.Errorf("%s: the charts say\n%s\nwant\n%s", when, got, want)
	}
}

// TestChartsWithoutPoints: where a chart has nothing to draw, the page's script says why in a sentence. It does so where there is no
// history, where all of it is dated in the future, and where it cannot be read.
func TestChartsWithoutPoints(t *testing.T) {
	overview := fmt.Sprintf("count: %s\ndiskBytes: %[1]s\nruns: %s", noSizes, noRuns)
	table := fmt.Sprintf("count: %s\ndiskBytes: %[1]s", noSizes)
	for name, prepare := range map[string]func(gabion, dir string){
		"none": nil,
		"future": func(gabion, dir string) {
			input := filepath.Join(t.TempDir(), "input")
			if err := os.WriteFile(input, []byte("Package: one\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(gabion, "demo", "--dir", dir, "--input", input).CombinedOutput(); err != nil {
				t.Fatalf("demo: %v\n%s", err, out)
			}
			writeFuture(t, dir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, "task_queue", prepare, "--disable-schedule", "--disable-drill")
			b := newBrowser(t, s.base)
			b.signIn()
			b.open("")
			b.wantCharts("overview", overview)
			b.inspect("chartless-overview-" + name)
			b.open("tables/task_queue")
			b.wantCharts("table", table)
			b.inspect("chartless-table-" + name)

			// The history that cannot be read says so, and not that there is none.
			b.run(chromedp.Evaluate(`window.fetch = () => Promise.reject(new Error('the network is gone'))`, nil))
			const gone = "The history cannot be read: the network is gone"
			b.wantCharts("without network", "count: "+gone+"\ndiskBytes: "+gone)
		})
	}
}

// writeFuture dates the whole history a day ahead.
func writeFuture(t *testing.T, dir string) {
	t.Helper()
	ahead := time.Now().UTC().Add(24 * time.Hour).Format(time.RFC3339)
	path := filepath.Join(dir, "history.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var history map[string]any
	if err := json.Unmarshal(data, &history); err != nil {
		t.Fatal(err)
	}
	history["tables"] = []any{map[string]any{"table": "task_queue", "points": []any{map[string]any{"time": ahead, "count": "7", "diskBytes": "7"}}}}
	history["runs"] = []any{map[string]any{"runId": "01J5Z6T1QZ4C6N1GB3W5Y8X2KD", "started": ahead, "finished": ahead}}
	if data, err = json.Marshal(history); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
