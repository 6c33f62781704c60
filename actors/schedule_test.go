package actors

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

const (
	day    = 24 * time.Hour
	minute = time.Minute
)

// epoch is a Wednesday; the rows count from it.
var epoch = time.Date(2026, 2, 11, 0, 0, 0, 0, time.UTC)

func at(after time.Duration) *timestamppb.Timestamp { return timestamppb.New(epoch.Add(after)) }

func retry(table string, failures uint32, last time.Duration) *messages.TableRetry {
	return &messages.TableRetry{Table: table, Failures: failures, LastAttempt: at(last)}
}

// state is one whose last attempt ended.
func state(last time.Duration, retries ...*messages.TableRetry) *messages.ScheduleState {
	return &messages.ScheduleState{LastAttempt: at(last), Retries: retries}
}

func unfinished(last time.Duration, n uint32) *messages.ScheduleState {
	return &messages.ScheduleState{LastAttempt: at(last), Unfinished: n}
}

// TestNextRun has a row for each rule. Where nothing else is said the interval is a day, the jitter one half, and
// an overdue run comes 30.5 s after the start.
func TestNextRun(t *testing.T) {
	const soon = 30*time.Second + 500*time.Millisecond
	for _, row := range []struct {
		name     string
		interval time.Duration
		cron     string
		started  time.Duration
		jitter   float64
		state    *messages.ScheduleState
		now      time.Duration
		want     time.Duration
		tables   []string
	}{
		{name: "never ran", state: &messages.ScheduleState{}, want: soon},
		{name: "never ran, least jitter", jitter: -1, state: &messages.ScheduleState{}, want: time.Second},
		{name: "never ran, most jitter", jitter: 1, state: &messages.ScheduleState{}, want: minute},
		{name: "never ran, short interval", interval: 10 * time.Second, jitter: 1, state: &messages.ScheduleState{}, want: time.Second},
		{name: "never ran, cron", cron: "30 2 * * *", state: &messages.ScheduleState{}, want: soon},

		{name: "every interval", state: state(0), now: time.Hour, want: day},
		{name: "due while up", state: state(0), now: 2 * day, want: day},
		{name: "due after the start", started: day - time.Second, state: state(0), now: day - time.Second, want: day},
		{name: "overdue at start", started: day, state: state(0), now: day, want: day + soon},
		{name: "a missed week", started: 8 * day, state: state(0), now: 8 * day, want: 8*day + soon},
		{name: "after the missed week", started: 8 * day, state: state(8*day + soon), now: 8*day + minute, want: 9*day + soon},

		{name: "cron", cron: "30 2 * * *", state: state(0), now: time.Hour, want: 150 * minute},
		{name: "cron, after its run", cron: "30 2 * * *", state: state(150 * minute), now: 150 * minute, want: day + 150*minute},
		{name: "cron, missed", cron: "30 2 * * *", started: 9 * day, state: state(0), now: 9 * day, want: 9*day + soon},
		{name: "cron, after the missed", cron: "30 2 * * *", started: 9 * day, state: state(9*day + soon), now: 9*day + minute, want: 9*day + 150*minute},
		{name: "cron, once a week", cron: "0 4 * * 0", state: state(0), now: time.Hour, want: 4*day + 4*time.Hour},
		{name: "cron, the 29th of February", cron: "0 0 29 2 *", state: state(0), now: time.Hour, want: 748 * day},

		{name: "unfinished, young", started: minute, state: unfinished(0, 1), now: minute, want: 15 * minute},
		{name: "unfinished, old", started: 16 * minute, state: unfinished(0, 1), now: 16 * minute, want: 16*minute + soon},
		{name: "unfinished twice", started: minute, state: unfinished(0, 2), now: minute, want: 30 * minute},
		{name: "unfinished 5 times", started: minute, state: unfinished(0, 5), now: minute, want: 240 * minute},
		{name: "unfinished 9 times", started: minute, state: unfinished(0, 9), now: minute, want: day},
		{name: "unfinished, without end", started: minute, state: unfinished(0, 4e9), now: minute, want: day},
		{name: "unfinished, short interval", interval: 20 * minute, started: 1, state: unfinished(0, 1), now: 1, want: 5 * minute},
		{name: "unfinished, cron comes first", cron: "30 2 * * *", started: 140 * minute, state: unfinished(139*minute, 1), now: 140 * minute, want: 150 * minute},

		{name: "failed once", state: state(0, retry("a", 1, 0)), now: 1, want: minute, tables: []string{"a"}},
		{name: "failed twice", state: state(0, retry("a", 2, minute)), now: minute, want: 3 * minute, tables: []string{"a"}},
		{name: "failed 5 times", state: state(0, retry("a", 5, 15*minute)), now: 15 * minute, want: 31 * minute, tables: []string{"a"}},
		{name: "failed, capped by the next run", state: state(0, retry("a", 40, minute)), now: minute, want: day},
		{name: "failed, capped by the interval", interval: 10 * minute, state: state(5*minute, retry("a", 40, 0)), now: 6 * minute, want: 10 * minute, tables: []string{"a"}},
		{name: "two failed", state: state(0, retry("a", 1, 0), retry("b", 1, 0)), now: 1, want: minute, tables: []string{"a", "b"}},
		{name: "one of them first", state: state(0, retry("a", 3, 0), retry("b", 1, 0)), now: 1, want: minute, tables: []string{"b"}},
		{name: "both are due", state: state(0, retry("a", 2, 0), retry("b", 1, 0)), now: 3 * minute, want: minute, tables: []string{"a", "b"}},
		{name: "all are due as well", state: state(0, retry("a", 1, day)), now: day + 2*minute, want: day},
		{name: "failed before the start", started: time.Hour, state: state(0, retry("a", 1, 0)), now: time.Hour, want: time.Hour + soon, tables: []string{"a"}},

		{name: "clock set back a month", started: 30 * day, state: state(30 * day), now: minute, want: minute + soon},
		{name: "clock set back, unfinished", started: 30 * day, state: unfinished(30*day, 1), now: minute, want: minute + soon},
		{name: "clock set back, failed", started: 30 * day, state: state(0, retry("a", 2, 30*day)), now: minute, want: minute + soon, tables: []string{"a"}},
		{name: "dated in the future, long up", state: state(365 * day), now: 2 * day, want: soon},
		{name: "dated in the future, cron", cron: "30 2 * * *", state: state(365 * day), now: time.Hour, want: soon},
		{name: "dated in the future, retry too", state: state(365*day, retry("a", 40, 365*day)), now: 2 * day, want: soon},
		{name: "ahead by no more than clocks are corrected", state: state(minute), now: 0, want: day + minute},
		{name: "clock set back, never ran", started: 30 * day, state: &messages.ScheduleState{}, now: minute, want: minute + soon},
		{name: "clock set forward a month", state: state(0), now: 30 * day, want: day},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := plan{interval: row.interval, tables: []string{"a", "b", "c"}, started: epoch.Add(row.started), jitter: max(0, row.jitter)}
			if row.jitter == 0 {
				p.jitter = 0.5
			}
			switch {
			case row.cron != "":
				var err error
				if p.cron, err = parseCron(row.cron); err != nil {
					t.Fatal(err)
				}
			case row.interval == 0:
				p.interval = day
			}
			now := epoch.Add(row.now)
			p.correct(now)
			got, tables := p.next(now, row.state)
			if want := epoch.Add(row.want); !got.Equal(want) || !slices.Equal(tables, row.tables) {
				t.Errorf("next = %v, %v, want %v, %v", got, tables, want, row.tables)
			}
		})
	}
}

// play lets d pass from now in the plan's world and returns when runs begin; what a table's run gives is failed's to
// say. Each run ends at once.
func (p *plan) play(now *time.Time, d time.Duration, s *messages.ScheduleState, failed func(table string) bool) (runs []time.Time, of [][]string) {
	for end := now.Add(d); ; {
		p.correct(*now)
		next, tables := p.next(*now, s)
		if next.After(end) || len(runs) > 10_000 {
			*now = end
			return runs, of
		}
		if next.After(*now) {
			*now = next
		}
		runs, of = append(runs, *now), append(of, tables)
		all := tables == nil
		if all {
			tables = p.tables
		}
		p.begin(*now, s, tables, all)
		var results []*messages.TableResult
		for _, table := range tables {
			result := &messages.TableResult{Table: table, Outcome: messages.Outcome_OUTCOME_BACKED_UP}
			if failed(table) {
				result.Outcome = messages.Outcome_OUTCOME_FAILED
			}
			results = append(results, result)
		}
		p.end(*now, s, results, all)
	}
}

func never(string) bool { return false }

// TestClockSet: a clock that is set brings neither a loop nor a pause of more than the interval, whether the process is
// started anew in between or not.
func TestClockSet(t *testing.T) {
	for _, step := range []time.Duration{-30 * day, -36 * time.Hour, -12 * time.Hour, -minute, minute, 12 * time.Hour, 36 * time.Hour, 30 * day} {
		for _, restarts := range []bool{false, true} {
			p := plan{interval: day, tables: []string{"a"}, started: epoch, jitter: 0.5}
			s, now := &messages.ScheduleState{}, epoch
			before, _ := p.play(&now, 60*time.Hour, s, never)
			if len(before) != 3 {
				t.Fatalf("%d runs in 60 h", len(before))
			}
			now = now.Add(step)
			var after []time.Time
			set := now
			for range 72 { // an hour each, as mostWait lets it
				if restarts {
					p.started = now
				}
				runs, _ := p.play(&now, time.Hour, s, never)
				after = append(after, runs...)
			}
			if len(after) < 2 || len(after) > 4 || after[0].Sub(set) > day+messages.Skew {
				t.Errorf("set by %v, restarts %v: runs at %v after %v", step, restarts, after, set)
			}
		}
	}
}

// TestDayOfCrashes: a start every ten seconds, for a day, makes no more runs than one start would, whether runs end or kill
// the process.
func TestDayOfCrashes(t *testing.T) {
	for _, kills := range []bool{false, true} {
		s, runs := &messages.ScheduleState{}, 0
		for life := range 8640 {
			p := plan{interval: day, tables: []string{"a"}, jitter: float64(life%60) / 60}
			p.started = epoch.Add(time.Duration(life) * 10 * time.Second)
			end := p.started.Add(10 * time.Second)
			if kills {
				if next, _ := p.next(p.started, s); !next.After(end) {
					p.begin(next, s, p.tables, true)
					runs++
				}
				continue
			}
			now := p.started
			made, _ := p.play(&now, 10*time.Second, s, never)
			runs += len(made)
		}
		// After 0.25, 0.75, 1.75, 3.75, 7.75 and 15.75 h.
		if want := map[bool]int{false: 1, true: 7}[kills]; runs != want {
			t.Errorf("%d runs in a day of crashes, want %d; runs kill: %v", runs, want, kills)
		}
	}
}

// TestAttemptOfTheFuture puts off neither the run that makes up for it nor those after, however often the process starts
// in between. It is made up for once.
func TestAttemptOfTheFuture(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		p := plan{interval: day, tables: []string{"a"}, started: epoch, jitter: 0.5}
		s, now := state(365*day, retry("a", 1, 365*day)), epoch.Add(3*day)
		var runs []time.Time
		for range 72 {
			if restarts {
				p.started = now
			}
			made, _ := p.play(&now, time.Hour, s, never)
			runs = append(runs, made...)
		}
		if len(runs) < 3 || len(runs) > 4 || runs[0].Sub(epoch) > 3*day+minute || s.GetLastAttempt().AsTime().After(now) {
			t.Errorf("restarts %v: runs at %v, state %v", restarts, runs, s)
		}
	}
}

// TestFailingTables: the one that fails is retried alone, each time after twice as long; the others keep their hour.
func TestFailingTables(t *testing.T) {
	p := plan{interval: day, tables: []string{"a", "b"}, started: epoch}
	s, now := state(0), epoch.Add(minute)
	runs, of := p.play(&now, 5*day, s, func(table string) bool { return table == "b" })
	all, alone := 0, 0
	for i, tables := range of {
		switch {
		case tables == nil:
			all++
			if want := epoch.Add(time.Duration(all) * day); !runs[i].Equal(want) {
				t.Errorf("run %d of all tables at %v, want %v", all, runs[i], want)
			}
		case slices.Equal(tables, []string{"b"}):
			alone++
		default:
			t.Errorf("run of %v", tables)
		}
	}
	if all != 5 || alone < 10 || alone > 14 || s.GetLastSuccess() != nil {
		t.Errorf("%d runs of all, %d of b alone, state %v", all, alone, s)
	}
	// It recovers: the next failure starts from a minute.
	p.play(&now, 2*day, s, never)
	if len(s.GetRetries()) != 0 || s.GetLastSuccess() == nil {
		t.Errorf("state = %v, want no retries and a success", s)
	}
	p.begin(now, s, p.tables, true)
	p.end(now, s, []*messages.TableResult{{Table: "a"}, {Table: "b", Outcome: messages.Outcome_OUTCOME_FAILED}}, true)
	if next, tables := p.next(now, s); !next.Equal(now.Add(minute)) || !slices.Equal(tables, []string{"b"}) {
		t.Errorf("next = %v, %v, want b a minute after %v", next, tables, now)
	}
}

// TestRecall: a lost state is that of the newest set of all tables.
func TestRecall(t *testing.T) {
	set := func(started time.Duration, results ...*messages.TableResult) *messages.BackupSet {
		return &messages.BackupSet{Started: at(started), Finished: at(started + minute), Results: results}
	}
	good := func(table string) *messages.TableResult {
		return &messages.TableResult{Table: table, Outcome: messages.Outcome_OUTCOME_BACKED_UP}
	}
	bad := &messages.TableResult{Table: "b", Outcome: messages.Outcome_OUTCOME_FAILED}
	p := plan{interval: day, tables: []string{"a", "b"}, started: epoch}
	for name, row := range map[string]struct {
		sets []*messages.BackupSet
		want *messages.ScheduleState
	}{
		"no sets":     {nil, &messages.ScheduleState{}},
		"some tables": {[]*messages.BackupSet{set(0, good("a"))}, &messages.ScheduleState{}},
		"all tables": {[]*messages.BackupSet{set(day, good("a")), set(0, good("a"), good("b"), good("c"))},
			&messages.ScheduleState{LastAttempt: at(0), LastSuccess: at(minute)}},
		"one failed": {[]*messages.BackupSet{set(day, good("a"), bad), set(0, good("a"), good("b"))}, state(day, retry("b", 1, day+minute))},
	} {
		if got := p.recall(row.sets); !proto.Equal(got, row.want) {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
}
