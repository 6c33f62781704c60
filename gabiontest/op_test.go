package gabiontest

import "testing"

// TestNewOp: a path says whose file it is.
func TestNewOp(t *testing.T) {
	for path, want := range map[string]Op{
		"/gabion":                                                 {},
		"/gabion/gabion.json":                                     {},
		"/gabion/tables":                                          {},
		"/gabion/tables/tasks":                                    {Table: "tasks"},
		"/gabion/tables/tasks/current":                            {Table: "tasks"},
		"/gabion/tables/tasks/01M833/000004.log":                  {Table: "tasks"},
		"/gabion/tables/tasks/.pending-01M833/000004.log":         {Table: "tasks"},
		"/srv/tables/hub/tables/tasks/01M833/000004.log":          {Table: "tasks"},
		"/gabion/staging/01M833/tasks/000004.log":                 {},
		"/gabion/backups/tasks":                                   {},
		"/gabion/backups/tasks/000001_2026-02-11T14-30-00Z":       {Table: "tasks", Backup: true},
		"/gabion/backups/tasks/.pending-000001/db/000004.sst":     {Table: "tasks", Backup: true},
		"/srv/tables/hub/tasks/1000001_2026-02-11T14-30-00Z/db/a": {Table: "tasks", Backup: true},
		"/gabion/backups/sets/01M833.json":                        {},
	} {
		want.Kind, want.Path = OpRead, path
		if got := newOp(OpRead, path); got != want {
			t.Errorf("newOp(%q) = %+v, want %+v", path, got, want)
		}
	}
}
