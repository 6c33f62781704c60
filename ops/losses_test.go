package ops

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// TestLossesOnTheOverview: each with its id and what is missing; who may change something has a button, readers have none. What the
// file systems lack stands there too.
func TestLossesOnTheOverview(t *testing.T) {
	f := newFace(t, HandlerOptions{AdminToken: adminToken, ReadToken: readToken_}, nil)
	at := timestamppb.New(time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC))
	losses := []*messages.Loss{
		{Id: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Table: "fruit", At: at, Cause: "WAL <damaged>", Source: "live", FromSeq: 21, ToSeq: 50},
		{Id: "01ARZ3NDEKTSV4RRFFQ69G5FAW", Table: "gone", At: at, Source: "backup", BackupId: "000001_2026-11-29T10-00-00Z", RowsMissing: 7,
			Damaged: []*messages.DamagedRange{{Start: []byte("a"), End: []byte("b\x00"), File: "000012.sst"}, {Start: []byte("x"), File: "000013.sst"}}},
	}
	ask := f.handler.monitor.ask
	f.handler.monitor.ask = func(ctx context.Context) (*messages.HealthReport, error) {
		report, err := ask(ctx)
		if err == nil {
			report.Losses = losses
			report.Lacking = []string{"directory: no hard links: a backup uses the tables' own files until they are copied"}
		}
		return report, err
	}
	body := f.ask("GET", "/", "", asPage, "Authorization: Bearer "+readToken_).body
	for _, want := range []string{`id="loss-01ARZ3NDEKTSV4RRFFQ69G5FAV"`, `tables/fruit">fruit</a> lost the operations with seq 21 to 50 at 2026-11-29T10:00:00Z (loss 01ARZ3NDEKTSV4RRFFQ69G5FAV): WAL &lt;damaged&gt;`,
		`id="loss-01ARZ3NDEKTSV4RRFFQ69G5FAW">gone lost 7 rows`, "Restored from the table's own files.", "Restored from backup 000001_2026-11-29T10-00-00Z.",
		"rows from <code>a</code> up to <code>hex:6200</code>, in 000012.sst", "rows from <code>x</code> on, in 000013.sst",
		"What the file systems lack", "<li>directory: no hard links: a backup uses the tables&#39; own files until they are copied</li>"} {
		if !strings.Contains(body, want) {
			t.Errorf("the overview lacks %q\n%s", want, body)
		}
	}
	if strings.Contains(body, "data-action") {
		t.Error("readers have buttons")
	}
	admins := f.ask("GET", "/", "", asPage, "Authorization: Bearer "+adminToken).body
	for _, loss := range losses {
		if want := `id="acknowledge-` + loss.GetId() + `" class="quiet small" data-action="acknowledge" data-loss="` + loss.GetId() + `"`; !strings.Contains(admins, want) {
			t.Errorf("admins have no button for %s", loss.GetId())
		}
	}
	metrics := f.ask("GET", "/metrics", "", "Authorization: Bearer "+readToken_).body
	for _, want := range []string{`gabion_losses_unacknowledged{table="fruit"} 1`, `gabion_losses_unacknowledged{table="gone"} 1`, `gabion_losses_unacknowledged{table="other"} 0`,
		`gabion_lost_operations_unacknowledged{table="fruit"} 30`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	for _, path := range []string{"/gabion.v1.GabionService/AcknowledgeLoss"} {
		if got := f.ask("POST", path, `{"all":true}`, asJSON, "Authorization: Bearer "+readToken_); got.StatusCode != 403 {
			t.Errorf("readers acknowledge: %s %s", got.Status, got.body)
		}
		if got := f.ask("POST", path, `{"all":true}`, asJSON, "Authorization: Bearer "+adminToken); got.StatusCode != 200 {
			t.Errorf("admins do not: %s %s", got.Status, got.body)
		}
	}
}

// TestPagesWithoutHealth: while nobody knows how the tables are, no page says that there are none, or shows a zero.
func TestPagesWithoutHealth(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	hang := make(chan struct{})
	ask := f.handler.monitor.ask
	f.handler.monitor.ask = func(ctx context.Context) (*messages.HealthReport, error) {
		<-hang
		return ask(ctx)
	}
	defer close(hang)
	for path, want := range map[string][]string{
		"/":             {"The tables are unknown.", "The runs are unknown."},
		"/tables/fruit": {"<dt>Rows</dt><dd>unknown</dd>", "<dt>Restarts</dt><dd>unknown</dd>", "<dt>Waiting writes</dt><dd>unknown</dd>", "<dt>Last backup</dt><dd>unknown</dd>"},
	} {
		body := f.ask("GET", path, "", asPage).body
		for _, text := range want {
			if !strings.Contains(body, text) {
				t.Errorf("%s lacks %q\n%s", path, text, body)
			}
		}
		for _, text := range []string{"No tables", "No run yet", "<dd>0</dd>", "never"} {
			if strings.Contains(body, text) {
				t.Errorf("%s says %q", path, text)
			}
		}
	}
}
