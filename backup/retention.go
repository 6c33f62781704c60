package backup

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// MaxKeepWithin is the most that Policy.KeepWithin may be.
const MaxKeepWithin = 50 * 365 * 24 * time.Hour

// Policy says which backups of a table retention leaves, beside those that are never removed. A backup stays when any
// rule keeps it, so another rule never removes more.
type Policy struct {
	// Keep is how many of the newest usable backups stay. The minimum is 1; there is no default.
	Keep int
	// Hourly, Daily, Weekly and Monthly are of how many UTC hours, days, ISO weeks and months the newest usable backup
	// stays. Those that have no backup do not count. Zero keeps none.
	Hourly, Daily, Weekly, Monthly int
	// KeepWithin keeps every usable backup that is no older than the newest by more than this, up to MaxKeepWithin. A
	// gap of more than half of it between two backups counts as half: nobody can tell a pause from a clock that
	// jumped. Zero keeps none.
	KeepWithin time.Duration
	// Lineages are all lineages that lie in DIR/tables/NAME, and the parent of the current one. The
	// newest usable and the newest proven backup of each stay, of each copy of DIR that made any.
	Lineages []string
	// Hold, unless empty, is why nothing is to be removed now.
	Hold string
}

// Check returns every fault of the policy, each with a hint; the error matches messages.ErrInvalid.
func (p Policy) Check() error {
	var faults []error
	fault := func(hint, format string, args ...any) {
		faults = append(faults, messages.WithHint(fmt.Errorf(format+": %w", append(args, messages.ErrInvalid)...), hint))
	}
	if p.Keep < 1 {
		fault("set keep to 1 or more", "keep is %d, minimum is 1", p.Keep)
	}
	for _, r := range p.calendar() {
		if r.count < 0 {
			fault("set keep "+r.name+" to 0 for none", "keep %s is negative", r.name)
		}
	}
	switch {
	case p.KeepWithin < 0:
		fault("set keep within to 0 for none", "keep within is negative")
	case p.KeepWithin > MaxKeepWithin:
		fault("keep monthly backups for longer", "keep within is %v, maximum is %v", p.KeepWithin, MaxKeepWithin)
	}
	return errors.Join(faults...)
}

// Candidate is one complete backup, as far as retention needs to know it.
type Candidate struct {
	ID     string
	Number uint64
	// Lineage is "" when the manifest does not say.
	Lineage string
	// CopyID is the manifest's, and OtherCopy that of Backup.
	CopyID    string
	OtherCopy bool
	Started   time.Time
	// Faulty: its manifest must not be trusted. Red: a verify found it wrong. Either makes it unusable.
	Faulty, Red bool
	// Proven: a verify proved it. Unread: its proofs cannot be read now. It is Red as long, but may be the newest proven.
	Proven, Unread bool
	// Pinned: somebody asked to keep it. InUse: it is being read now.
	Pinned, InUse bool
}

func (c Candidate) usable() bool { return !c.Faulty && !c.Red }

// Decision says whether one backup stays. Reasons has at least one entry, in plain words: every rule that keeps it, or
// why none does.
type Decision struct {
	ID      string
	Keep    bool
	Reasons []string
}

// Decide says which of a table's complete backups stay, highest number first. It is pure. A policy with a fault is
// refused (Policy.Check), with no decision.
//
// Numbers order, never times, and no rule counts back from now: a clock that goes backwards, or a century forward,
// expires nothing. What began after now, by the clock of now, takes no place of another backup in the rules by
// calendar and in KeepWithin: such backups have the same number of places, among themselves. So a clock set back costs
// no old backup, and one that was ahead leaves no more than the policy allows once again.
//
// Faulty and red backups do not count in any rule. They stay until Keep newer usable ones exist, and for
// as long as they may be the last backup of a lineage.
func Decide(list []Candidate, policy Policy, now time.Time) ([]Decision, error) {
	if err := policy.Check(); err != nil {
		return nil, fmt.Errorf("check retention, nothing was removed: %w", err)
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.Number, a.Number), cmp.Compare(b.ID, a.ID))
	})
	guard := newGuard(list, policy.Lineages)
	judged := policy.judge(list, now)
	decisions := make([]Decision, 0, len(list))
	newer := 0 // usable backups seen so far
	for i, c := range list {
		var reasons []string
		if policy.Hold != "" {
			reasons = append(reasons, policy.Hold)
		}
		reasons = append(reasons, guard.reasons(c)...)
		switch {
		case newer >= policy.Keep:
		case c.usable():
			reasons = append(reasons, oneOf(policy.Keep))
		default:
			reasons = append(reasons, fmt.Sprintf("%s, but only %s", flaw(c), count(newer)))
		}
		reasons = append(reasons, judged[i].keeps...)
		keep := len(reasons) > 0
		if !keep && !c.usable() {
			reasons = append(reasons, flaw(c))
		}
		if c.OtherCopy {
			reasons = append(reasons, "made by another copy of the directory")
		}
		if !keep {
			reasons = append(append(reasons, count(newer)), judged[i].leaves...)
		}
		decisions = append(decisions, Decision{ID: c.ID, Keep: keep, Reasons: reasons})
		if c.usable() {
			newer++
		}
	}
	return decisions, nil
}

func flaw(c Candidate) string {
	if c.Faulty {
		return "faulty"
	}
	return "red"
}

func oneOf(keep int) string {
	if keep == 1 {
		return "the newest"
	}
	return fmt.Sprintf("one of the newest %d", keep)
}

func count(newer int) string {
	if newer == 1 {
		return "1 newer complete backup exists"
	}
	return fmt.Sprintf("%d newer complete backups exist", newer)
}
