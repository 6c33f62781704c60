package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/ops"
)

const (
	// dirVariable names the directory when --dir does not.
	dirVariable = "GABION_DIR"
	// backupDirVariable names the backup directory when --backup-dir does not.
	backupDirVariable = "GABION_BACKUP_DIR"
	// dirModeVariable has the mode of what a command makes in place.
	dirModeVariable = "GABION_DIR_MODE"
)

// place is the directory that a command works on.
type place struct {
	dir       string
	backupDir string
	file      string
	// mode is the dir_mode of what is made in place, zero for that of the directory.
	mode fs.FileMode
}

func (p *place) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.dir, "dir", "", "tables lie in `DIR` (default $"+dirVariable+", or dir in --config)")
	cmd.Flags().StringVar(&p.backupDir, "backup-dir", "", "backups lie in `DIR` (default $"+backupDirVariable+", or backup_dir in --config, or backups in --dir); a server has its own, and another is an error")
	cmd.Flags().StringVar(&p.file, "config", "", "read dir, backup_dir and dir_mode from `FILE`, the one of gabion serve (default $"+configVariable+")")
}

// named settles the directories. It returns an error unless a directory is given.
func (p *place) named() error {
	if err := p.settle(); err != nil {
		return err
	}
	if p.dir == "" {
		return usagef("add --dir DIR, set "+dirVariable+", or name the file of gabion serve with --config", "no directory given")
	}
	return nil
}

// backupsNamed is named for a command to which a backup directory is enough.
func (p *place) backupsNamed() error {
	if err := p.settle(); err != nil || p.dir != "" || p.backupDir != "" {
		return err
	}
	return usagef("add --dir DIR, set "+dirVariable+", or name the file of gabion serve with --config; or --backup-dir DIR alone, for backups by themselves", "no directory given")
}

// settle settles the directories, as gabion serve does: a flag beats the variable, which beats the file. The file must be valid
// as a whole.
func (p *place) settle() error {
	s := ops.Sources{Flags: make(map[string]string), File: p.file, Environment: func(name string) (string, bool) {
		// The other settings are those of a server.
		return os.Getenv(name), slices.Contains([]string{dirVariable, backupDirVariable, dirModeVariable}, name)
	}}
	if s.File == "" {
		s.File = os.Getenv(configVariable)
	}
	for key, text := range map[string]string{"dir": p.dir, "backup_dir": p.backupDir} {
		if text != "" {
			s.Flags[key] = text
		}
	}
	config, err := ops.LoadConfig(s)
	if err != nil {
		return err
	}
	dir, backupDir, mode := config.Gabion.Dir, config.Gabion.BackupDir, config.Gabion.DirMode
	ownBackups, ownMode := p.backupDir != "" || os.Getenv(backupDirVariable) != "", os.Getenv(dirModeVariable) != ""
	if s.File != "" && !(ownBackups && ownMode) {
		// The file's backups, and its mode, are those of the file's directory.
		file, err := ops.LoadConfig(ops.Sources{File: s.File})
		if err != nil {
			return err
		}
		if other := file.Gabion.Dir; other != "" && !sameDir(dir, other) {
			if !ownBackups {
				backupDir = ""
			}
			if !ownMode {
				mode = 0
			}
		}
	}
	p.dir, p.backupDir, p.mode = dir, backupDir, mode
	return nil
}

func sameDir(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA != nil || errB != nil {
		return filepath.Clean(a) == filepath.Clean(b)
	}
	return os.SameFile(infoA, infoB)
}
