package metrics_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestDocsNameMetricsThatExist: the alerts and the Grafana dashboard in docs ask for what is exported, by labels that it has.
func TestDocsNameMetricsThatExist(t *testing.T) {
	g, m := start(t)
	if _, err := g.BackupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	known := families(t, m)
	known["gabion_next_run_timestamp_seconds"] = nil // there is no schedule here
	known["gabion_table_fragmentation_ratio"] = nil  // nor any sstable
	expressions := append(alerts(t), panels(t)...)
	if len(expressions) < 25 {
		t.Fatalf("%d expressions", len(expressions))
	}
	page, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := regexp.MustCompile("`gabion_[a-z_]+`").FindAllString(string(page), -1)
	if len(listed) < 20 {
		t.Errorf("operate.md lists %q", listed)
	}
	for _, name := range listed {
		if _, ok := known[strings.Trim(name, "`")]; !ok {
			t.Errorf("operate.md names %s, which is not exported", name)
		}
	}
	used := make(map[string]bool)
	for _, expression := range expressions {
		for _, found := range regexp.MustCompile(`\b(gabion_[a-z_]+)(\{[^}]*\})?`).FindAllStringSubmatch(expression, -1) {
			name := found[1]
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base := strings.TrimSuffix(name, suffix); base != name && known[base].GetType().String() == "HISTOGRAM" {
					name = base
				}
			}
			family, ok := known[name]
			if !ok {
				t.Errorf("%s asks for %s, which is not exported", expression, found[1])
			}
			used[name] = true
			for _, label := range regexp.MustCompile(`([a-z_]+)(?:=~?|!=)"([^"]*)"`).FindAllStringSubmatch(found[2], -1) {
				if label[1] == "instance" {
					continue // Prometheus adds it
				}
				matches := false
				for _, metric := range family.GetMetric() {
					for _, l := range metric.GetLabel() {
						matches = matches || l.GetName() == label[1] && regexp.MustCompile("^(?:"+label[2]+")$").MatchString(l.GetValue())
					}
				}
				if !matches {
					t.Errorf("%s: no %s has %s", expression, name, label[0])
				}
			}
		}
	}
	if !used["gabion_table_last_backup_age_seconds"] || !used["gabion_table_last_proof_age_seconds"] {
		t.Errorf("used are %v", used)
	}
}

// alerts are the expressions of docs/operate/alerts.yml.
func alerts(t *testing.T) (expressions []string) {
	t.Helper()
	data, err := os.ReadFile("../../docs/operate/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations struct{ Summary, Action string }
			}
		}
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, rule := range file.Groups[0].Rules {
		if rule.Alert == "" || rule.Annotations.Summary == "" || rule.Annotations.Action == "" {
			t.Errorf("alert %+v", rule)
		}
		expressions = append(expressions, rule.Expr)
	}
	return expressions
}

// panels are the expressions of docs/operate/grafana.json.
func panels(t *testing.T) (expressions []string) {
	t.Helper()
	data, err := os.ReadFile("../../docs/operate/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	for i, panel := range board.Panels {
		if panel.ID != i+1 {
			t.Errorf("panel %d has id %d", i+1, panel.ID)
		}
		for _, target := range panel.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	return expressions
}
