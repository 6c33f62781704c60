package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"slices"
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
	Losses []loss
	Runs   []run
	// RunsFaults say why runs are not shown.
	RunsFaults []string
	Work       []*messages.Progress
	// Sizes and Durations stand where charts without points would be.
	Sizes, Durations string
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
	Copied  int64
	Results []result
}

// loss is one that nobody has acknowledged.
type loss struct {
	*messages.Loss
	// Served is set while the table has a page.
	Served bool
}

// result is what became of one table in a run.
type result struct {
	*messages.TableResult
	// Served is set while the table has a page.
	Served bool
	// Gone is set where the backup is no longer there, or another is in its place.
	Gone bool
}

// Overview shows all tables and the last runs.
func (d *Dashboard) Overview(w http.ResponseWriter, r *http.Request, v Viewer) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	page := overviewPage{Work: d.gabion.Progress()}
	page.Report, page.At = d.latest(ctx)
	page.Verdict = judge(page.Report, page.At, time.Now())
	for _, l := range page.Report.GetLosses() {
		page.Losses = append(page.Losses, loss{l, serves(page.Report, l.GetTable())})
	}
	// Of one table: it is the sets that are wanted, not what each backup takes on the disk.
	var list *messages.BackupList
	for _, row := range page.Report.GetTables()[:min(1, len(page.Report.GetTables()))] {
		var err error
		if list, err = d.gabion.ListBackups(ctx, row.GetTable()); err != nil {
			page.RunsFaults = append(page.RunsFaults, err.Error())
		}
	}
	for _, f := range list.GetFaults() {
		page.RunsFaults = append(page.RunsFaults, f.Error())
	}
	for i, set := range list.GetSets() {
		if i == shownRuns {
			break
		}
		page.Runs = append(page.Runs, describeRun(set, statusAt(list, i), page.Report))
	}
	page.Sizes, page.Durations = d.chartless(ctx, "")
	d.render(w, http.StatusOK, "overview", page.Verdict.Text, v, page)
}

func serves(report *messages.HealthReport, table string) bool {
	return slices.ContainsFunc(report.GetTables(), func(row *messages.TableHealth) bool { return row.GetTable() == table })
}

func statusAt(list *messages.BackupList, i int) *messages.SetStatus {
	if i < len(list.GetSetStatus()) {
		return list.GetSetStatus()[i]
	}
	return nil
}

func describeRun(set *messages.BackupSet, status *messages.SetStatus, report *messages.HealthReport) run {
	r := run{Set: set, Status: status, Grade: "green"}
	failed := 0
	for _, of := range set.GetResults() {
		r.Bytes += of.GetBytes()
		r.Copied += of.GetCopiedBytes()
		if of.GetOutcome() == messages.Outcome_OUTCOME_FAILED {
			failed++
		}
		r.Results = append(r.Results, result{
			TableResult: of,
			Served:      serves(report, of.GetTable()),
			Gone:        slices.Contains(status.GetGone(), of.GetTable()),
		})
	}
	switch {
	case status.GetOtherCopy():
		r.Grade, r.Text = "yellow", "of another copy of the directory"
	case failed == len(set.GetResults()) && failed > 0:
		r.Grade, r.Text = "red", "failed"
	case failed > 0:
		r.Grade, r.Text = "yellow", fmt.Sprintf("%d of %d failed", failed, len(set.GetResults()))
	case status.GetState() == messages.SetState_SET_STATE_THINNED:
		r.Text = "complete, thinned since"
	case status.GetState() == messages.SetState_SET_STATE_UNKNOWN:
		r.Grade, r.Text = "yellow", "what is left is unknown"
	default:
		r.Text = "complete"
	}
	return r
}

// staleReport is how old a report may be whose verdict still holds.
const staleReport = time.Minute

// mostReasons is how many concerns the verdict shows. Those of tables stand under their rows, too.
const mostReasons = 8

// judge puts the grade of a report into words, and why it is not green.
func judge(report *messages.HealthReport, at, now time.Time) verdict {
	if report == nil {
		return verdict{"red", "The state of the tables is not known", []string{"Health does not answer: a disk may hang"}}
	}
	v := verdict{Grade: grade(report.GetGrade())}
	named := func(grade messages.Grade) (tables []string) {
		for _, row := range report.GetTables() {
			if row.GetGrade() == grade {
				tables = append(tables, row.GetTable())
			}
		}
		return tables
	}
	tables := named(report.GetGrade())
	switch all := len(report.GetTables()); {
	case report.GetGrade() == messages.Grade_GRADE_RED && len(tables) > 0:
		v.Text = are(tables) + " in danger"
	case report.GetGrade() == messages.Grade_GRADE_RED:
		v.Text = "The backups are in danger"
	case report.GetGrade() != messages.Grade_GRADE_GREEN && all == 0:
		v.Text = "No tables are served"
	case report.GetGrade() != messages.Grade_GRADE_GREEN && len(tables) > 0:
		v.Text = sees(tables) + " attention"
	case report.GetGrade() != messages.Grade_GRADE_GREEN:
		v.Text = "Not everything is as it should be"
	case all == 1:
		v.Text = "The table is safe"
	default:
		v.Text = fmt.Sprintf("All %d tables are safe", all)
	}
	if age := now.Sub(at); age > staleReport {
		v.Grade = "red"
		v.Reasons = append(v.Reasons, "No answer for "+show.Duration(age)+": a disk may hang, and what follows is old")
	}
	concerns := report.GetConcerns()
	v.Reasons = append(v.Reasons, concerns[:min(len(concerns), mostReasons)]...)
	if more := len(concerns) - mostReasons; more > 0 {
		v.Reasons = append(v.Reasons, fmt.Sprintf("and %d more", more))
	}
	v.Reasons = append(v.Reasons, backupsInWords(report, now)...)
	return v
}

// backupsInWords says what the verdict rests on: the oldest backup and the oldest proof of all tables, and what comes next.
func backupsInWords(report *messages.HealthReport, now time.Time) []string {
	var texts []string
	// done is a participle: "backed up".
	oldest := func(what, done string, figure messages.Figure, of func(*messages.TableHealth) *timestamppb.Timestamp) {
		var last *timestamppb.Timestamp
		var without, unknown []string
		for _, row := range report.GetTables() {
			switch t := of(row); {
			case !row.Knows(figure):
				unknown = append(unknown, row.GetTable())
			case t == nil:
				without = append(without, row.GetTable())
			case last == nil || t.AsTime().Before(last.AsTime()):
				last = t
			}
		}
		if len(unknown) > 0 {
			texts = append(texts, fmt.Sprintf("It is unknown when %s %s last %s", names(unknown), was(unknown), done))
		}
		switch {
		case len(without) == len(report.GetTables()) && len(without) > 1:
			texts = append(texts, "No table was "+done)
		case len(without) > 0:
			texts = append(texts, fmt.Sprintf("%s %s never %s", names(without), was(without), done))
		case last != nil && len(unknown) == 0:
			texts = append(texts, what+" "+show.Past(now, last))
		}
	}
	oldest("Every table is backed up; the oldest backup is from", "backed up", messages.Figure_FIGURE_LAST_BACKUP, (*messages.TableHealth).GetLastSuccess)
	oldest("Every table has a backup that is proven to restore; the oldest proof is from", "proven to restore", messages.Figure_FIGURE_LAST_PROOF, (*messages.TableHealth).GetLastProof)
	if next := report.GetNextRun(); next != nil {
		texts = append(texts, "The next backup comes "+show.Age(now, next))
	}
	return texts
}

func was(all []string) string {
	if len(all) == 1 {
		return "was"
	}
	return "were"
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
