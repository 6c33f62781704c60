package ops

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/messages"
)

// TestDashboardPages show what there is: the verdict, a table that is quarantined in red with its reason, rows as text, JSON and
// hex, and the plan's ends.
func TestDashboardPages(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	rows := map[string]string{"json": `{"a":[1,2]}`, "raw": "\x00\xff", "<b>": "<script>alert(1)</script>"}
	for key, value := range rows {
		if _, err := f.Table("fruit").Put(t.Context(), []byte(key), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Table("fruit").Put(t.Context(), []byte{0, 1}, bytes.Repeat([]byte("x"), 5<<10)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Backup(t.Context(), &messages.BackupAll{Label: "first <label>", Pin: true}); err != nil {
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
	for path, wants := range map[string][]string{
		"/":                             {"All 2 tables are safe", "row-fruit", "first &lt;label&gt;", "Back up now", "2 tables"},
		"/tables/fruit":                 {"&lt;script&gt;", "&lt;b&gt;", "hex:0001", "5\u202f120", "proven", id, "pinned"},
		"/tables/fruit?as=json":         {"&#34;a&#34;: [\n    1,", "{ &#34;a&#34;: [ 1, 2 ] }…"},
		"/tables/fruit?as=hex":          {"00 ff", "|..|"},
		"/tables/fruit?prefix=js":       {"json"},
		"/tables/fruit?prefix=hex:0001": {"xxxx", "…"},
		"/backups/fruit/" + id:          {"read back by verify", "SHA-256", "Unpin", "Pinned: first &lt;label&gt;"},
	} {
		got := f.ask("GET", path, "", asPage)
		for _, want := range wants {
			if !strings.Contains(got.body, want) {
				t.Errorf("%s lacks %q\n%s", path, want, got.body)
			}
		}
		if strings.Contains(got.body, "<script>alert") {
			t.Errorf("%s is not escaped", path)
		}
	}
	if got := f.ask("GET", "/tables/fruit?prefix=js", "", asPage); strings.Contains(got.body, "hex:0001") {
		t.Error("the prefix narrows nothing down")
	}
}

// TestBrowsing leads through all rows.
func TestBrowsing(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	w := &messages.Write{}
	for i := range 120 {
		w.Ops = append(w.Ops, messages.PutOp(fmt.Appendf(nil, "k%03d", i), []byte("v")))
	}
	if _, err := f.Table("fruit").Write(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	seen, path := 0, "/tables/fruit?prefix=k"
	for range 4 {
		got := f.ask("GET", path, "", asPage)
		seen += strings.Count(got.body, "<code>k")
		_, rest, more := strings.Cut(got.body, `id="next-rows" href="`)
		if !more {
			break
		}
		next, _, _ := strings.Cut(rest, `"`)
		path = "/tables/fruit" + strings.ReplaceAll(next, "&amp;", "&")
	}
	if seen != 120 {
		t.Errorf("%d rows, want 120", seen)
	}
}

// TestReadOnlyPages have no buttons.
func TestReadOnlyPages(t *testing.T) {
	f := newFace(t, HandlerOptions{ReadOnly: true}, nil)
	for _, path := range []string{"/", "/tables/fruit"} {
		if got := f.ask("GET", path, "", asPage); got.StatusCode != 200 || strings.Contains(got.body, "data-action") {
			t.Errorf("%s: %s", path, got.Status)
		}
	}
}
