package ops

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// TestCollector: a registry that has the metrics of its process takes those of a Gabion, and gets nothing else by them.
func TestCollector(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d"))
	c := NewCollector(h.Gabion)
	t.Cleanup(c.Close)
	alone, beside := prometheus.NewPedanticRegistry(), prometheus.NewRegistry()
	beside.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for name, r := range map[string]*prometheus.Registry{"alone": alone, "beside the process": beside} {
		if err := r.Register(c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if _, err := h.BackupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := beside.Gather(); err != nil {
		t.Errorf("beside the process: %v", err)
	}
	all, err := alone.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range all {
		found[f.GetName()] = true
		if !strings.HasPrefix(f.GetName(), "gabion_") {
			t.Errorf("%s is not of a Gabion", f.GetName())
		}
	}
	for _, name := range []string{"gabion_build_info", "gabion_table_rows", "gabion_runs_total"} {
		if !found[name] {
			t.Errorf("%s is missing", name)
		}
	}
	problems, err := promlint.NewWithMetricFamilies(all).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}
