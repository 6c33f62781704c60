package messages

import (
	"fmt"
	"regexp"
	"slices"
)

var tableName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// reservedNames would collide with Gabion's own directories, or cannot be a file name on Windows.
var reservedNames = []string{
	"backup", "backups", "sets", "staging", "gabion",
	"con", "prn", "aux", "nul",
	"com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
	"lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
}

// CheckTableName returns an ErrInvalid error unless name is a legal table name: a lower-case
// letter, then up to 62 lower-case letters, digits and underscores, and not reserved.
func CheckTableName(name string) error {
	switch {
	case !tableName.MatchString(name):
		return WithHint(fmt.Errorf("table name %q: %w", name, ErrInvalid),
			"a table name is a lower-case letter, then up to 62 lower-case letters, digits and underscores")
	case slices.Contains(reservedNames, name):
		return WithHint(fmt.Errorf("table name %q is reserved: %w", name, ErrInvalid),
			"choose a name that is neither Gabion's own (backup, sets, staging, gabion) nor a Windows device")
	}
	return nil
}
