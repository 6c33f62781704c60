package ops

import (
	"fmt"
	"html"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

var links = regexp.MustCompile(`(?:href|src)="([^"]*)"`)

// crawl follows every link from the root on, and returns the pages by their path.
func (f *face) crawl() map[string]string {
	f.Helper()
	pages, from := map[string]string{}, map[string]string{}
	base, err := url.Parse(f.url + "/")
	if err != nil {
		f.Fatal(err)
	}
	for todo := []string{base.String()}; len(todo) > 0; todo = todo[1:] {
		here := todo[0]
		if _, seen := pages[here]; seen {
			continue
		}
		got := askURL(f.T, "GET", here, "", asPage)
		pages[here] = got.body
		if got.StatusCode != 200 {
			f.Errorf("%s, a link of %s, answers %s", here, from[here], got.Status)
			continue
		}
		if !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
			continue
		}
		page, err := url.Parse(here)
		if err != nil {
			f.Fatal(err)
		}
		for _, link := range links.FindAllStringSubmatch(got.body, -1) {
			target, err := page.Parse(html.UnescapeString(link[1]))
			if err != nil {
				f.Errorf("%s links to %q: %v", here, link[1], err)
				continue
			}
			target.Fragment = ""
			if target.Host == base.Host && from[target.String()] == "" {
				from[target.String()] = here
				todo = append(todo, target.String())
			}
		}
	}
	return pages
}

// TestEveryLinkAnswers: on all pages, after retention has removed backups, a table was dropped and one is closed.
func TestEveryLinkAnswers(t *testing.T) {
	h := startHost(t, actors.Config{Dir: t.TempDir() + "/d", Tables: []string{"dropped", "fruit", "other"}, Keep: 1, DisableSchedule: true, DisableDrill: true})
	f := faceOf(t, h, HandlerOptions{Prefix: "/under/this"}, nil)
	for i := range 4 {
		for _, table := range []string{"dropped", "fruit"} {
			if _, err := f.Table(table).Put(t.Context(), fmt.Append(nil, i), []byte("v")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.BackupAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w := &messages.Write{}
	for i := range 60 {
		w.Ops = append(w.Ops, messages.PutOp(fmt.Appendf(nil, "k%03d", i), []byte("v")))
	}
	if _, err := f.Table("fruit").Write(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if err := f.DropTable(t.Context(), "dropped"); err != nil {
		t.Fatal(err)
	}
	if err := f.CloseTable(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	pages := f.crawl()
	if len(pages) < 8 {
		t.Errorf("only %d pages", len(pages))
	}
	overview := pages[f.url+"/"]
	if n := strings.Count(overview, "removed by retention"); n == 0 {
		t.Error("the overview does not say what retention has removed")
	}
	list, err := f.ListBackups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list.GetBackups() {
		if link := "backups/" + b.GetTable() + "/" + b.GetBackupId() + `"`; b.GetLabel() != "" && !strings.Contains(overview, link) {
			t.Errorf("the overview does not link to %s", link)
		}
	}
}

// TestChartsWithoutPointsSaySo, on the overview and on the page of a table; and why, where the history cannot be read.
func TestChartsWithoutPointsSaySo(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	empty := regexp.MustCompile(`data-chart="[a-zA-Z]*"[^>]*></div>`)
	for _, path := range []string{"/", "/tables/fruit"} {
		got := f.ask("GET", path, "", asPage)
		if empty.MatchString(got.body) || strings.Count(got.body, "No points yet: the first comes within ten minutes, while the table is open.") != 2 {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	if got := f.ask("GET", "/", "", asPage); !strings.Contains(got.body, "No points yet: the first comes with the first run.") {
		t.Errorf("no sentence in place of the runs: %s", got.body)
	}
	if _, err := f.BackupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		got := f.ask("GET", "/", "", asPage)
		return !strings.Contains(got.body, "No points yet") && !empty.MatchString(got.body)
	})
}

// TestPagesShowTheUnknown: figures that nobody can find out are unknown on every page, never 0, none or never, and the verdict is
// not green.
func TestPagesShowTheUnknown(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	if _, err := f.Table("fruit").Put(t.Context(), []byte("key"), []byte("value")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.BackupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.VerifyBackup(t.Context(), "fruit", ""); err != nil {
		t.Fatal(err)
	}
	list, err := f.ListBackups(t.Context(), "fruit")
	if err != nil {
		t.Fatal(err)
	}
	id := list.GetBackups()[0].GetBackupId()
	backups := filepath.Join(f.dir, "backups")
	anew := func() {
		f.handler.monitor.mu.Lock()
		defer f.handler.monitor.mu.Unlock()
		f.handler.monitor.report = nil
	}
	wants := func(path string, texts ...string) {
		t.Helper()
		got := f.ask("GET", path, "", asPage)
		for _, text := range texts {
			if !strings.Contains(got.body, text) {
				t.Errorf("%s lacks %q\n%s", path, text, got.body)
			}
		}
		for _, text := range []string{"never", "No backup yet", "No run yet", "is safe", "are safe"} {
			if strings.Contains(got.body, text) {
				t.Errorf("%s says %q\n%s", path, text, got.body)
			}
		}
	}
	put := func(path string) (undo func()) { // a directory in place of a file, or the other way round, cannot be read by anybody
		t.Helper()
		info, err := os.Stat(path)
		if err == nil {
			err = os.Rename(path, path+".away")
		}
		if err == nil && info.IsDir() {
			err = os.WriteFile(path, nil, 0o600)
		} else if err == nil {
			err = os.Mkdir(path, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".away", path); err != nil {
				t.Fatal(err)
			}
			anew()
		}
	}

	undo := put(filepath.Join(backups, "fruit", id, "manifest.json"))
	anew()
	wants("/tables/fruit", "newest backup "+id+" is red: read manifest: ", `<span class="mark yellow">unknown</span>`, `<td class="n">unknown</td>`)
	wants("/backups/fruit/"+id, "read manifest: ", "<dt>Rows</dt><dd>unknown</dd>", "<dt>Finished</dt><dd>unknown</dd>", "<dt>Seq</dt><dd>unknown</dd>")
	if got := f.ask("GET", "/", "", asPage); !strings.Contains(got.body, "what is left is unknown") {
		t.Errorf("the run of a backup that cannot be read: %s", got.body)
	}
	undo()

	for _, other := range []string{"fruit", "other"} {
		defer put(filepath.Join(backups, other))()
	}
	defer put(filepath.Join(backups, "sets"))()
	anew()
	wants("/", "The backups are in danger", "cannot be read", "backups and proofs are unknown (fruit, other)", `<span class="mark yellow">unknown</span>`,
		"It is unknown when fruit and other were last backed up")
	wants("/tables/fruit", "<dt>Last backup</dt><dd>unknown</dd>", "The backups are unknown.")
	if status, state, text := f.ready(); status != 503 || !strings.Contains(state.faults("backups"), "fruit: last backup: unknown") || !strings.Contains(state.faults("proofs"), "last proof: unknown") {
		t.Errorf("ready: %d %s", status, text)
	}
	got := f.ask("GET", "/metrics", "")
	for _, want := range []string{`gabion_table_unknown{figure="backups",table="fruit"} 1`, `gabion_unknown{figure="last_run"} 1`, `gabion_grade{grade="red"} 1`,
		`gabion_table_grade{grade="yellow",table="fruit"} 1`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	for _, none := range []string{"gabion_table_backups{", "gabion_table_last_backup_age_seconds{", "gabion_table_last_proof_timestamp_seconds{", "gabion_last_run_timestamp_seconds "} {
		if strings.Contains(got.body, none) {
			t.Errorf("metrics have %s", none)
		}
	}
}

// TestTableThatIsClosedHasNoZeros, on its page and on the overview.
func TestTableThatIsClosedHasNoZeros(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	if err := f.CloseTable(t.Context(), "fruit"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/tables/fruit": "<dt>Rows</dt><dd>unknown</dd>", "/": `<td class="n">unknown</td>`} {
		if got := f.ask("GET", path, "", asPage); !strings.Contains(got.body, want) {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	if got := f.ask("GET", "/tables/fruit", "", asPage); !strings.Contains(got.body, "The rows are unknown.") {
		t.Errorf("rows: %s", got.body)
	}
}
