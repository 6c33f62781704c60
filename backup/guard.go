package backup

import (
	"fmt"
	"slices"
)

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
	if c.Unread {
		reasons = append(reasons, "its proofs cannot be read")
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
