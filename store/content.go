package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// Content tells one state of a table from another one at the same position. A position alone does not: a copy of the
// directory goes on with the lineage and the incarnation that it was copied with.
type Content struct {
	// Record is the table's record.
	Record *messages.TableRecord
	// SSTables is the hash of the list of the table's sstables, of a table at cut, whose record has older sums. Empty
	// means that it is not known.
	SSTables string
}

// Same tells whether both are the same state of one table. Content that is not known is the same as nothing.
func (c Content) Same(other Content) bool {
	a, b := c.Record, other.Record
	if a.GetPosition() == nil || !proto.Equal(a.GetPosition(), b.GetPosition()) ||
		a.GetTable() != b.GetTable() || a.GetCommitted() != b.GetCommitted() || isAtCut(a) != isAtCut(b) {
		return false
	}
	if isAtCut(a) {
		return c.SSTables != "" && c.SSTables == other.SSTables
	}
	return sumsOf(a) == sumsOf(b)
}

// Follows tells whether what was then can have become c. Another copy of the table's directory made a state that is
// further, or that differs at the same position.
func (c Content) Follows(then Content) bool {
	a, b := then.Record.GetPosition(), c.Record.GetPosition()
	if a.GetLineage() != b.GetLineage() || a.GetIncarnation() > b.GetIncarnation() || a.GetSeq() > b.GetSeq() {
		return false
	}
	if !proto.Equal(a, b) {
		return true
	}
	if then.Record.GetCommitted() != c.Record.GetCommitted() {
		return false
	}
	// Sstables that are merged hold the same rows as before.
	return isAtCut(then.Record) || isAtCut(c.Record) || sumsOf(then.Record) == sumsOf(c.Record)
}

// Content returns what the table holds after the newest applied group. The committer calls it, between two groups.
func (s *Store) Content() (Content, error) {
	c := Content{Record: s.Record()}
	if !isAtCut(c.Record) {
		return c, nil
	}
	if !s.handle.enter() {
		return Content{}, ErrClosed
	}
	defer s.handle.leave()
	levels, err := s.db.SSTables()
	if err != nil {
		return Content{}, fmt.Errorf("list sstables: %w", s.readError(err))
	}
	var lines []string
	for _, level := range levels {
		for _, t := range level {
			if bytes.Compare(t.Largest.UserKey, userStart) < 0 {
				continue // nothing but the record: a count of the rows writes it anew, and they stay the same
			}
			// Two copies number their files alike, and may give them the same size.
			lines = append(lines, fmt.Sprintf("%s %d %x %x %d %d\n", t.FileNum, t.Size, t.Smallest.UserKey, t.Largest.UserKey,
				t.SmallestSeqNum, t.LargestSeqNum))
		}
	}
	slices.Sort(lines)
	h := sha256.New()
	_, _ = h.Write([]byte(strconv.Itoa(len(lines)) + "\n"))
	for _, line := range lines {
		_, _ = h.Write([]byte(line))
	}
	c.SSTables = hex.EncodeToString(h.Sum(nil))
	return c, nil
}
