package actors

import (
	"fmt"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// lacks is one thing that the file system of a directory does not have.
type lacks struct {
	// text says what it is, and what follows from it.
	text string
	// danger is set where a promise cannot be held for it.
	danger bool
}

// lacking lists what the file system of DIR, or with backups that of BACKUPDIR, does not have.
func lacking(c disk.Capabilities, backups bool) (all []lacks) {
	add := func(answer disk.Answer, danger bool, ofDirectory, ofBackups string) {
		if text := ofDirectory; answer == disk.Lacks {
			if backups {
				text = ofBackups
			}
			all = append(all, lacks{text, danger})
		}
	}
	add(c.RenameOver, true, "no rename over a name that there is: tables cannot be kept here",
		"no rename over a name that there is: pins and other records of backups cannot be replaced")
	add(c.DirSync, true, "no fsync of directories: a crash of the machine may lose the newest files of tables",
		"no fsync of directories: a crash of the machine may lose the newest backups")
	add(c.Link, false, "no hard links: a backup uses the tables' own files until they are copied",
		"no hard links: each backup copies all of its files")
	add(c.CaseSensitive, false, "names that differ by case alone are one name", "names that differ by case alone are one name")
	if c.LinkCopies && !backups {
		all = append(all, lacks{"a hard link may copy the whole file: a backup uses the tables' own files until they are copied", false})
	}
	return all
}

// probeDirectory finds out what the file system of DIR has. A file system that cannot keep tables is an error.
func (t *tree) probeDirectory() error {
	path := t.directory.Path()
	c := disk.Probe(t.config.FS, path)
	if c.Link == disk.Lacks || c.LinkCopies {
		t.directory.AvoidLinks()
	}
	t.lacking = lacking(c, false)
	if c.RenameOver == disk.Lacks {
		return messages.WithHint(fmt.Errorf("directory %s: its file system has %s: %w", path, t.lacking[0].text, messages.ErrInvalid),
			"name a directory on another file system")
	}
	logLacking(t.config, path, t.lacking)
	return nil
}

func logLacking(config Config, path string, all []lacks) {
	if len(all) == 0 {
		return
	}
	texts := make([]string, len(all))
	danger := false
	for i, l := range all {
		texts[i], danger = l.text, danger || l.danger
	}
	log := config.Logger.Info
	if danger {
		log = config.Logger.Warn
	}
	log("file system lacks something", "directory", path, "lacking", texts)
}

// addLacking fills in what the file systems lack.
func (t *tree) addLacking(report *messages.HealthReport, found *findings) {
	add := func(directory string, all []lacks) {
		for _, l := range all {
			text := messages.Text(fmt.Sprintf("%s: %s", directory, l.text))
			report.Lacking = append(report.Lacking, text)
			if l.danger {
				found.whole.yellow("%s", text)
			}
		}
	}
	add("directory", t.lacking)
	add("backup directory", t.backups.lacks())
}
