package actors

import (
	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// parents returns where the lineages of a table branched off, as far as its backups and the lineage that would serve tell.
func (t *tree) parents(table, serving string) map[string]*messages.Position {
	parents := make(map[string]*messages.Position)
	add := func(record *messages.TableRecord) {
		if parent := record.GetParent(); parent.GetLineage() != "" {
			parents[record.GetPosition().GetLineage()] = parent
		}
	}
	if backups, err := patient(&t.listing, listTimeout, func() ([]backup.Backup, error) { return t.backups.List(table) }); err == nil {
		for _, b := range backups {
			if b.Fault == nil {
				add(b.Manifest.GetRecord())
			}
		}
	}
	if m := t.members.find(table); serving == "" || m != nil && m.serving.Load() != nil {
		return parents // the store that serves has its record
	}
	own, err := within(listTimeout, func() (*store.Remains, error) { return t.directory.Examine(table, serving, false, nil) })
	if err == nil {
		add(own.Record)
	}
	return parents
}

// lost is the range of the operations, by seq, that served before and do not any more. before is the record of the store that
// served, nil where it was not open; record is of what serves now. All that was done since the two histories parted is lost,
// and where they are not known to have a part in common, all.
func (s *source) lost(before, record *messages.TableRecord) (from, to uint64) {
	undo := s.plan.GetSource() == sourceUndo && s.remains == nil
	at := s.plan.GetServing()
	if before != nil {
		at = before.GetPosition()
	}
	if at.GetLineage() == "" {
		return 0, 0
	}
	now := record.GetParent() // of a red backup that is less than its manifest says
	if undo {
		now = record.GetPosition()
	}
	var found bool
	if !s.backup.OtherCopy { // which is not known to have anything in common: it may have gone its own way at any seq
		from, found = parted(s.history(at, before), s.history(now, s.record))
	}
	if !found && undo && before == nil {
		return 0, 0
	}
	if from++; from > at.GetSeq() {
		return 0, 0
	}
	return from, at.GetSeq()
}

// history is a position and where its lineage, and that one's, branched off. record, which may be nil, is of the position's lineage.
func (s *source) history(at *messages.Position, record *messages.TableRecord) []*messages.Position {
	history := []*messages.Position{at}
	next := record.GetParent()
	if next.GetLineage() == "" {
		next = s.parents[at.GetLineage()]
	}
	for ; next.GetLineage() != "" && len(history) < len(s.parents)+2; next = s.parents[next.GetLineage()] {
		history = append(history, next)
	}
	return history
}

// parted returns the last seq that two histories have in common.
func parted(a, b []*messages.Position) (seq uint64, found bool) {
	for _, mine := range a {
		for _, other := range b {
			if mine.GetLineage() == other.GetLineage() {
				return min(mine.GetSeq(), other.GetSeq()), true
			}
		}
	}
	return 0, false
}
