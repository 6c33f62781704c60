package backup

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// Policy says which backups of a table retention leaves, beside those that are never removed.
type Policy struct {
	// Keep is how many of the newest usable backups stay. The minimum is 1; there is no default.
	Keep int
	// Lineages are all lineages that lie in DIR/tables/NAME, and the parent of the current one. The
	// newest usable and the newest proven backup of each stay.
	Lineages []string
}

// Candidate is one complete backup, as far as retention needs to know it.
type Candidate struct {
	ID     string
	Number uint64
	// Lineage is "" when the manifest does not say.
	Lineage string
	Started time.Time
	// Faulty: its manifest must not be trusted. Red: a verify found it wrong. Either makes it unusable.
	Faulty, Red bool
	// Proven: a verify proved it.
	Proven bool
	// Pinned: somebody asked to keep it. InUse: it is being read now.
	Pinned, InUse bool
}

func (c Candidate) usable() bool { return !c.Faulty && !c.Red }

// Decision says whether one backup stays. Reasons has at least one entry, in plain words.
type Decision struct {
	ID      string
	Keep    bool
	Reasons []string
}

// Decide says which of a table's complete backups stay, highest number first. It is pure, and orders by
// number alone: a clock that went backwards, or a year forward, changes nothing. now is for rules by the
// calendar, which do not exist yet. A policy that keeps less than one backup is refused
// (messages.ErrInvalid), with no decision.
//
// Faulty and red backups do not count toward Keep. They stay until Keep newer usable ones exist, and for
// as long as they may be the last backup of a lineage.
func Decide(list []Candidate, policy Policy, now time.Time) ([]Decision, error) {
	if policy.Keep < 1 {
		return nil, messages.WithHint(
			fmt.Errorf("check retention: %w: keep is %d, minimum is 1", messages.ErrInvalid, policy.Keep),
			"set keep to 1 or more; nothing was removed")
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.Number, a.Number), cmp.Compare(b.ID, a.ID))
	})
	guard := newGuard(list, policy.Lineages)
	decisions := make([]Decision, 0, len(list))
	newer := 0 // usable backups seen so far
	for _, c := range list {
		reasons := guard.reasons(c)
		switch {
		case newer >= policy.Keep:
		case c.usable():
			reasons = append(reasons, oneOf(policy.Keep))
		default:
			reasons = append(reasons, fmt.Sprintf("%s, but only %s", flaw(c), count(newer)))
		}
		keep := len(reasons) > 0
		if !keep && !c.usable() {
			reasons = append(reasons, flaw(c))
		}
		if !keep {
			reasons = append(reasons, count(newer))
		}
		decisions = append(decisions, Decision{ID: c.ID, Keep: keep, Reasons: reasons})
		if c.usable() {
			newer++
		}
	}
	return decisions, nil
}

// guard finds the backups that are never removed, whatever the policy says.
type guard struct {
	newest, proven map[string]string // lineage to backup id
	bare           []string          // lineages without any usable backup
}

// newGuard looks at the list, which is ordered newest first.
func newGuard(list []Candidate, lineages []string) guard {
	g := guard{newest: map[string]string{}, proven: map[string]string{}}
	for _, lineage := range lineages {
		if lineage == "" {
			continue
		}
		for _, c := range list {
			if c.Lineage != lineage || !c.usable() {
				continue
			}
			if g.newest[lineage] == "" {
				g.newest[lineage] = c.ID
			}
			if c.Proven {
				g.proven[lineage] = c.ID
				break
			}
		}
		if g.newest[lineage] == "" && !slices.Contains(g.bare, lineage) {
			g.bare = append(g.bare, lineage)
		}
	}
	return g
}

func (g guard) reasons(c Candidate) []string {
	var reasons []string
	if c.InUse {
		reasons = append(reasons, "being read")
	}
	if c.Pinned {
		reasons = append(reasons, "pinned")
	}
	if c.usable() {
		if g.newest[c.Lineage] == c.ID {
			reasons = append(reasons, "newest of lineage "+c.Lineage)
		}
		if g.proven[c.Lineage] == c.ID {
			reasons = append(reasons, "newest proven of lineage "+c.Lineage)
		}
		return reasons
	}
	// What cannot be read may be the last that is left of a lineage; removal fails closed.
	for _, lineage := range g.bare {
		if c.Lineage == "" || c.Lineage == lineage {
			reasons = append(reasons, fmt.Sprintf("%s, but may be the last of lineage %s", flaw(c), lineage))
		}
	}
	return reasons
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
