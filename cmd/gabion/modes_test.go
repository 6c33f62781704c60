package main

import (
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// modes is the command "modes DIR DIRMODE FILEMODE": every directory and every file in DIR, which has some, must have that mode.
func modes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: modes DIR DIRMODE FILEMODE")
	}
	var want [2]fs.FileMode
	for i, text := range args[1:] {
		mode, err := strconv.ParseUint(text, 8, 32)
		ts.Check(err)
		want[i] = fs.FileMode(mode)
	}
	files, faults := 0, 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files++
		if mode := info.Mode(); mode.IsDir() && mode.Perm() != want[0] || mode.IsRegular() && mode.Perm() != want[1] {
			faults++
			ts.Logf("%s has mode %v", path, mode)
		}
		return nil
	}))
	if files < 10 || faults > 0 {
		ts.Fatalf("%d of %d files have another mode than %s and %s", faults, files, args[1], args[2])
	}
}
