package actors

import (
	"errors"
	"fmt"

	"github.com/gabiondb/gabion/messages"
)

// dangers returns what is wrong with DIR and BACKUPDIR as a whole: each makes health red, whatever the state of the tables.
// It asks both disks, each within listTimeout.
func (t *tree) dangers() []*messages.Failure {
	var dangers []*messages.Failure
	add := func(what string, err error) {
		if err != nil {
			dangers = append(dangers, messages.FailureOf(fmt.Errorf("%s: %w", what, err)))
		}
	}
	_, err := patient(&t.place, listTimeout, func() (any, error) { return nil, t.directory.CheckOwner() })
	add("directory of the tables", err)
	if t.backups.ready() == nil {
		return dangers // the list of backups names the fault
	}
	_, err = patient(&t.backupPlace, listTimeout, func() (any, error) { return nil, t.backups.Check() })
	if err == nil {
		_, err = patient(&t.backupPlace, listTimeout, func() (any, error) { return nil, t.backups.Whose() })
	}
	add("no backup can be made", err)
	return dangers
}

// addDangers adds what is wrong with the two directories. A disk that does not answer is an unknown fault, not yet a danger.
func (t *tree) addDangers(report *messages.HealthReport, found *findings) {
	for _, danger := range t.dangers() {
		if !errors.Is(danger, messages.ErrDeadline) {
			found.whole.red("%s", danger.Error())
		} else if len(report.GetFaults()) > 0 {
			continue // another question to that disk has named the fault
		}
		found.fault(report, danger)
	}
}
