package backup

import (
	"fmt"
	"slices"
)

// history is a lineage as one copy of the directory has gone on with it.
type history struct{ lineage, copyID string }

// guard finds the backups that are never removed, whatever the policy says.
type guard struct {
	newest, proven map[history]string // to backup id
	bare           []history          // those without any usable backup
}

// newGuard looks at the list, which is ordered newest first.
func newGuard(list []Candidate, lineages []string) guard {
	g := guard{newest: map[history]string{}, proven: map[history]string{}}
	for _, lineage := range lineages {
		if lineage == "" {
			continue
		}
		for _, h := range histories(list, lineage) {
			g.look(list, h)
		}
	}
	return g
}

// histories are those of a lineage that have a backup; one, if none has.
func histories(list []Candidate, lineage string) []history {
	var all []history
	for _, c := range list {
		if h := (history{lineage, c.CopyID}); c.Lineage == lineage && !slices.Contains(all, h) {
			all = append(all, h)
		}
	}
	if all == nil {
		all = []history{{lineage: lineage}}
	}
	return all
}

func (g *guard) look(list []Candidate, h history) {
	for _, c := range list {
		if c.history() != h || !c.usable() {
			continue
		}
		if g.newest[h] == "" {
			g.newest[h] = c.ID
		}
		if c.Proven {
			g.proven[h] = c.ID
			break
		}
	}
	if g.newest[h] == "" && !slices.Contains(g.bare, h) {
		g.bare = append(g.bare, h)
	}
}

func (c Candidate) history() history { return history{c.Lineage, c.CopyID} }

func (g guard) reasons(c Candidate) []string {
	var reasons []string
	if c.InUse {
		reasons = append(reasons, "being read")
	}
	if c.Unread {
		reasons = append(reasons, "its proofs cannot be read")
	}
	if c.Pinned {
		reasons = append(reasons, "pinned")
	}
	if c.usable() {
		if g.newest[c.history()] == c.ID {
			reasons = append(reasons, "newest of lineage "+c.Lineage)
		}
		if g.proven[c.history()] == c.ID {
			reasons = append(reasons, "newest proven of lineage "+c.Lineage)
		}
		return reasons
	}
	// What cannot be read may be the last that is left of a lineage; removal fails closed.
	for _, h := range g.bare {
		if text := fmt.Sprintf("%s, but may be the last of lineage %s", flaw(c), h.lineage); c.Lineage == "" || c.history() == h {
			if !slices.Contains(reasons, text) {
				reasons = append(reasons, text)
			}
		}
	}
	return reasons
}
