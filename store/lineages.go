package store

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// sweepPending removes the directories of restores that a crash cut short.
func (d *Directory) sweepPending(table string) error {
	names, err := listIfExists(d.fs, d.tablePath(table))
	if err != nil {
		return err
	}
	for _, name := range names {
		lineage, ok := strings.CutPrefix(name, pendingPrefix)
		if !ok || !isLineage(lineage) || d.making.has(lineage) {
			continue
		}
		all, err := d.discard(d.fs.PathJoin(d.tablePath(table), name), InDatabase)
		if err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
		if !all {
			continue
		}
		d.logger.Info("unfinished restore removed", "table", table, "lineage", lineage)
	}
	return nil
}

// sweepAsides removes the records that a crash cut short and no write will replace: their lineages are not there.
func (d *Directory) sweepAsides(table string) error {
	names, err := listIfExists(d.fs, d.tablePath(table))
	if err != nil {
		return err
	}
	for _, name := range names {
		lineage, ok := strings.CutSuffix(name, undoSuffix+asideSuffix)
		if !ok || !isLineage(lineage) || d.making.has(lineage) || slices.Contains(names, lineage) {
			continue
		}
		if err := d.fs.Remove(d.fs.PathJoin(d.tablePath(table), name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	return nil
}

// lineages is a set of lineages: of those that somebody works on.
type lineages struct {
	mu  sync.Mutex
	set map[string]struct{}
}

// claim puts a lineage into the set until release is called, unless it is there.
func (l *lineages) claim(lineage string) (release func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, taken := l.set[lineage]; taken {
		return nil, false
	}
	if l.set == nil {
		l.set = make(map[string]struct{})
	}
	l.set[lineage] = struct{}{}
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.set, lineage)
	}), true
}

func (l *lineages) has(lineage string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.set[lineage]
	return ok
}
