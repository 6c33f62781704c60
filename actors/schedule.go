package actors

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

const (
	// soonWindow is how long after the start an overdue run comes at the latest, and soonShare the part of
	// the interval that it is at most: several hosts that start together do not load their disks together.
	soonWindow = time.Minute
	soonShare  = 10
	// soonFloor is the part of the window that passes in any case: a start has other things to do.
	soonFloor = 60
	// firstRetry is how long a table that failed waits for its first retry; each further failure doubles it.
	firstRetry = time.Minute
	// unfinishedWait and unfinishedShare bound how long an attempt that did not end waits to be repeated: the
	// smaller of the two; each further one doubles it. A crash loop must not become a backup loop.
	unfinishedWait  = 15 * time.Minute
	unfinishedShare = 4
)

// plan decides when scheduled runs are due. It reads no clock and no disk: all it knows of the past is in the
// ScheduleState that it is given. Its times have no monotonic reading.
type plan struct {
	interval time.Duration
	cron     cron.Schedule // nil: every interval
	tables   []string      // those served, sorted
	// started is when the process began to schedule; jitter, in [0,1), is drawn once for each start.
	started time.Time
	jitter  float64
}

// CheckCron returns what is wrong with a Config.Cron, with a hint, or nil.
func CheckCron(expression string) error {
	_, err := parseCron(expression)
	return err
}

// parseCron reads five fields. An expression that names no time, such as the 30th of February, is an error.
func parseCron(expression string) (cron.Schedule, error) {
	bad := func(format string, args ...any) error {
		return messages.WithHint(fmt.Errorf("cron is %q: "+format+": %w", append(append([]any{expression}, args...), messages.ErrInvalid)...),
			`write minute, hour, day of month, month and day of week, in UTC: "30 2 * * *" is every day at 02:30`)
	}
	if n := len(strings.Fields(expression)); n != 5 {
		return nil, bad("%d fields, not 5", n)
	}
	schedule, err := cron.ParseStandard(expression)
	if err != nil {
		return nil, bad("%w", err)
	}
	// From a fixed time, so that the clock does not decide what is valid. The search takes in a leap year.
	if schedule.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, bad("it never comes")
	}
	return schedule, nil
}

// next returns when the next run is due, and of which tables, nil for all. A time that is not after now means
// now; the zero time, never. An attempt that is dated in the future counts as none: how old it is nobody knows, so what
// may be overdue comes soon. The plan must be correct at now.
func (p plan) next(now time.Time, s *messages.ScheduleState) (at time.Time, tables []string) {
	ofAll := p.nextOfAll(now, s)
	at = ofAll
	due := func(r *messages.TableRetry) time.Time {
		if messages.AheadOf(r.GetLastAttempt(), now) {
			return p.soon()
		}
		wait := double(firstRetry, r.GetFailures(), p.period(r.GetLastAttempt().AsTime()))
		return p.notOverdue(r.GetLastAttempt().AsTime().Add(wait))
	}
	if !at.IsZero() && !at.After(now) {
		return at, nil
	}
	for _, r := range s.GetRetries() {
		if t := due(r); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	// A run of all tables that comes no later retries those that failed as well.
	if at.Equal(ofAll) {
		return at, nil
	}
	for _, r := range s.GetRetries() {
		if t := due(r); !t.After(at) || !t.After(now) {
			tables = append(tables, r.GetTable())
		}
	}
	return at, tables
}

// nextOfAll returns when the next run of all tables is due.
func (p plan) nextOfAll(now time.Time, s *messages.ScheduleState) time.Time {
	if s.GetLastAttempt() == nil || messages.AheadOf(s.GetLastAttempt(), now) {
		return p.soon()
	}
	last := s.GetLastAttempt().AsTime()
	at := p.after(last)
	if n := s.GetUnfinished(); n > 0 {
		period := p.period(last)
		repeat := last.Add(double(min(unfinishedWait, period/unfinishedShare), n, period))
		if at.IsZero() || repeat.Before(at) {
			at = repeat
		}
	}
	if at.IsZero() {
		return at
	}
	return p.notOverdue(at)
}

// after returns the first time after t at which the schedule wants a run.
func (p plan) after(t time.Time) time.Time {
	if p.cron == nil {
		return t.Add(p.interval)
	}
	return p.cron.Next(t.UTC())
}

// period is the time between two runs, about t.
func (p plan) period(t time.Time) time.Duration {
	first := p.after(t)
	if second := p.after(first); !first.IsZero() && second.After(first) {
		return second.Sub(first)
	}
	return defaultInterval
}

// notOverdue returns at, or a time soon after the start where at had come before it. So whatever was missed
// is made up for by one run.
func (p plan) notOverdue(at time.Time) time.Time {
	if at.After(p.started) {
		return at
	}
	return p.soon()
}

// soon is shortly after the start. Where it lies is a matter of chance, so a process that never lives for long
// gets its backup in one of its lives.
func (p plan) soon() time.Time {
	window := min(soonWindow, p.period(p.started)/soonShare)
	floor := window / soonFloor
	return p.started.Add(floor + time.Duration(p.jitter*float64(window-floor)))
}

// correct takes a start after now for now: the clock was set back. Left as it is, what comes soon after the start would
// wait for the clock to come there again.
func (p *plan) correct(now time.Time) {
	if p.started.After(now) {
		p.started = now
	}
}

// begin notes that a run of tables, or of all that were served when it was asked for, begins: what a crash in it is to
// leave.
func (p plan) begin(now time.Time, s *messages.ScheduleState, tables []string, all bool) {
	if all {
		s.LastAttempt = timestamppb.New(now)
		s.Unfinished++
	}
	for _, r := range s.GetRetries() {
		if slices.Contains(tables, r.GetTable()) {
			r.Failures++
			r.LastAttempt = timestamppb.New(now)
		}
	}
}

// end notes what a run that had begun did. A table that is no longer served is not tried again.
func (p plan) end(now time.Time, s *messages.ScheduleState, results []*messages.TableResult, all bool) {
	failing := len(s.GetRetries()) > 0
	if all {
		s.Unfinished = 0
	}
	for _, result := range results {
		i := slices.IndexFunc(s.GetRetries(), func(r *messages.TableRetry) bool { return r.GetTable() == result.GetTable() })
		switch failed := result.GetOutcome() == messages.Outcome_OUTCOME_FAILED; {
		case failed && i < 0 && !slices.Contains(p.tables, result.GetTable()):
		case failed && i < 0:
			s.Retries = append(s.Retries, &messages.TableRetry{
				Table: result.GetTable(), Failures: 1, LastAttempt: timestamppb.New(now)})
		case failed:
			s.Retries[i].LastAttempt = timestamppb.New(now)
		case i >= 0:
			s.Retries = slices.Delete(s.Retries, i, i+1)
		}
	}
	if (all || failing) && len(s.GetRetries()) == 0 && s.GetUnfinished() == 0 {
		s.LastSuccess = timestamppb.New(now)
	}
	slices.SortFunc(s.Retries, func(a, b *messages.TableRetry) int { return strings.Compare(a.GetTable(), b.GetTable()) })
}

// recall returns the state as the newest set of all tables tells it.
func (p plan) recall(sets []*messages.BackupSet) *messages.ScheduleState {
	s := &messages.ScheduleState{}
	for _, set := range sets {
		if tables := tablesOf(set.GetResults()); p.isAll(tables) {
			p.begin(set.GetStarted().AsTime(), s, tables, true)
			p.end(set.GetFinished().AsTime(), s, set.GetResults(), true)
			break
		}
	}
	return s
}

// isAll tells whether tables has every table that is served.
func (p plan) isAll(tables []string) bool {
	return !slices.ContainsFunc(p.tables, func(table string) bool { return !slices.Contains(tables, table) })
}

func tablesOf(results []*messages.TableResult) []string {
	tables := make([]string, len(results))
	for i, result := range results {
		tables[i] = result.GetTable()
	}
	return tables
}

// double returns first, doubled for each of n but the first one, and most at most.
func double(first time.Duration, n uint32, most time.Duration) time.Duration {
	for ; n > 1 && first < most; n-- {
		first *= 2
	}
	return min(first, most)
}
