package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/show"
)

// shownRuns is how many runs a page shows.
const shownRuns = 12

// overviewPage answers the operator's question: are my tables safe, and how do I know?
type overviewPage struct {
	Verdict verdict
	// At is when the health was looked at.
	At     time.Time
	Report *messages.HealthReport
	Runs   []run
	// RunsFault says why the runs are not shown.
	RunsFault string
	Work      []*messages.Progress
}

// verdict is the state of all tables in words.
type verdict struct {
	Grade string
	// Text is one sentence, and Reasons what it rests on.
	Text    string
	Reasons []string
}

// run is one set with what is left of it.
type run struct {
	Set    *messages.BackupSet
	Status *messages.SetStatus
	// Grade is green where every table is backed up.
	Grade string
	Text  string
	Bytes int64
	// Copied is what the run itself wrote.
	Copied int64
}

// Overview shows all tables and the last runs.
func (d *Dashboard) Overview(w http.ResponseWriter, r *http.Request, v Viewer) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	page := overviewPage{Work: d.gabion.Progress()}
	page.Report, page.At = d.latest(ctx)
	page.Verdict = judge(page.Report, page.At, time.Now())
	// Of one table: it is the sets that are wanted, not what each backup takes on the disk.
	var list *messages.BackupList
	for _, row := range page.Report.GetTables()[:min(1, len(page.Report.GetTables()))] {
		var err error
		if list, err = d.gabion.ListBackups(ctx, row.GetTable()); err != nil {
			page.RunsFault = err.Error()
		}
	}
	for i, set := range list.GetSets() {
		if i == shownRuns {
			break
		}
		page.Runs = append(page.Runs, describeRun(set, statusAt(list, i)))
	}
	d.render(w, http.StatusOK, "overview", page.Verdict.Text, v, page)
}

func statusAt(list *messages.BackupList, i int) *messages.SetStatus {
	if i < len(list.GetSetStatus()) {
		return list.GetSetStatus()[i]
	}
	return nil
}

func describeRun(set *messages.BackupSet, status *messages.SetStatus) run {
	r := run{Set: set, Status: status, Grade: "green"}
	failed := 0
	for _, result := range set.GetResults() {
		r.Bytes += result.GetBytes()
		r.Copied += result.GetCopiedBytes()
		if result.GetOutcome() == messages.Outcome_OUTCOME_FAILED {
			failed++
		}
	}
	switch {
	case failed == len(set.GetResults()) && failed > 0:
		r.Grade, r.Text = "red", "failed"
	case failed > 0:
		r.Grade, r.Text = "yellow", fmt.Sprintf("%d of %d failed", failed, len(set.GetResults()))
	case status.GetState() == messages.SetState_SET_STATE_THINNED:
		r.Text = "complete, thinned since"
	default:
		r.Text = "complete"
	}
	return r
}

// staleReport is how old a report may be whose verdict still holds.
const staleReport = time.Minute

// judge sums a report up, the gravest first.
func judge(report *messages.HealthReport, at, now time.Time) verdict {
	if report == nil {
		return verdict{"red", "The state of the tables is not known", []string{"Health does not answer: a disk may hang"}}
	}
	var v verdict
	var red, yellow []string
	for _, row := range report.GetTables() {
		switch row.GetGrade() {
		case messages.Grade_GRADE_RED:
			red = append(red, row.GetTable())
		case messages.Grade_GRADE_YELLOW:
			yellow = append(yellow, row.GetTable())
		}
	}
	all := len(report.GetTables())
	switch {
	case len(red) > 0:
		v = verdict{Grade: "red", Text: are(red) + " in danger"}
	case len(yellow) > 0:
		v = verdict{Grade: "yellow", Text: sees(yellow) + " attention"}
	case all == 0:
		v = verdict{Grade: "yellow", Text: "No tables are served"}
	case all == 1:
		v = verdict{Grade: "green", Text: "The table is safe"}
	default:
		v = verdict{Grade: "green", Text: fmt.Sprintf("All %d tables are safe", all)}
	}
	if age := now.Sub(at); age > staleReport {
		v.Grade = "red"
		v.Reasons = append(v.Reasons, "No answer for "+show.Duration(age)+": a disk may hang, and what follows is old")
	}
	for _, f := range report.GetFaults() {
		if v.Grade == "green" {
			v.Grade, v.Text = "yellow", "Not everything could be looked at"
		}
		v.Reasons = append(v.Reasons, f.Error())
	}
	v.Reasons = append(v.Reasons, backupsInWords(report, now)...)
	return v
}

// backupsInWords says what the verdict rests on: the oldest backup and the oldest proof of all tables, and what comes next.
func backupsInWords(report *messages.HealthReport, now time.Time) []string {
	var texts []string
	oldest := func(what, none string, of func(*messages.TableHealth) *timestamppb.Timestamp) {
		var last *timestamppb.Timestamp
		var without []string
		for _, row := range report.GetTables() {
			switch t := of(row); {
			case t == nil:
				without = append(without, row.GetTable())
			case last == nil || t.AsTime().Before(last.AsTime()):
				last = t
			}
		}
		switch {
		case len(without) == len(report.GetTables()) && len(without) > 1:
			texts = append(texts, "No table "+none)
		case len(without) > 0:
			texts = append(texts, names(without)+" "+map[bool]string{true: "was never ", false: "were never "}[len(without) == 1]+strings.TrimPrefix(none, "was "))
		case last != nil:
			texts = append(texts, what+" "+show.Age(now, last))
		}
	}
	oldest("Every table is backed up; the oldest backup is from", "was backed up", (*messages.TableHealth).GetLastSuccess)
	oldest("Every table has a backup that is proven to restore; the oldest proof is from", "was proven to restore", (*messages.TableHealth).GetLastProof)
	if next := report.GetNextRun(); next != nil {
		texts = append(texts, "The next backup comes "+show.Age(now, next))
	}
	return texts
}

// most is how many names a sentence holds.
const most = 3

func names(all []string) string {
	if len(all) > most {
		return fmt.Sprintf("%s and %d more tables", strings.Join(all[:most], ", "), len(all)-most)
	}
	if len(all) == 1 {
		return all[0]
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

func are(all []string) string {
	if len(all) == 1 {
		return names(all) + " is"
	}
	return names(all) + " are"
}

func sees(all []string) string {
	if len(all) == 1 {
		return names(all) + " needs"
	}
	return names(all) + " need"
}
