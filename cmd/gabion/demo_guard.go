package main

import (
	"errors"
	"fmt"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// The rows of agentcom_config that are about the demo itself. The first is written before any other row: by it
// a later demo knows that the directory is not a service's.
const (
	madeByKey = "demo/made_by"
	inputKey  = "demo/input"
)

// checkDemoDir refuses a directory whose tables hold rows that no demo wrote, and tells whether an earlier demo wrote there.
// It changes nothing.
func checkDemoDir(dir string) (again bool, err error) {
	d, err := store.OpenDirectory(store.DirectoryOptions{FS: store.RealFS(), Path: dir, ReadOnly: true})
	if errors.Is(err, messages.ErrNotFound) {
		return false, nil // it is still to be made
	}
	if err != nil {
		return false, fmt.Errorf("look into %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	tables, err := d.Tables()
	if err != nil {
		return false, err
	}
	rows := false
	for _, table := range tables {
		filled, mine, err := lookAt(d, table)
		if err != nil {
			return false, err
		}
		if mine {
			return true, nil
		}
		rows = rows || filled
	}
	if rows {
		return false, messages.WithHint(fmt.Errorf("directory %s holds tables that no demo made", dir),
			"name an empty directory, or one that an earlier demo made")
	}
	return false, nil
}

// lookAt tells whether a table was ever written to, and whether it holds the demo's own row.
func lookAt(d *store.Directory, table string) (filled, mine bool, err error) {
	s, err := d.Open(table, store.OpenOptions{})
	if errors.Is(err, store.ErrMissing) {
		return false, false, nil // a demo that was killed may not have come to create it
	}
	if err != nil {
		return false, false, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if table == agentcomConfig {
		if _, mine, err = s.Get([]byte(madeByKey)); err != nil {
			return false, false, err
		}
	}
	return s.Record().GetPosition().GetSeq() > 0, mine, nil
}
