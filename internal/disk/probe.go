package disk

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// probePrefix begins the names that Probe makes.
const probePrefix = ".probe-"

// trialPrefix begins the names that TryOwner makes. The text of crypto/rand follows, which has trialText letters and digits.
const (
	trialPrefix = probePrefix + "owner-"
	trialText   = 26
)

// IsTrial reports whether a name is one that TryOwner makes. A crash may leave such a file; it is empty.
func IsTrial(name string) bool {
	text, ok := strings.CutPrefix(name, trialPrefix)
	return ok && len(text) == trialText && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// Answer says whether a file system has something.
type Answer uint8

// The answers of a probe. The zero value is Unknown: the disk is full, failing, or mounted for reading only.
const (
	Unknown Answer = iota
	Has
	Lacks
)

// Capabilities are what the file system of a directory has, of what not all have. The zero value knows nothing.
type Capabilities struct {
	// Link is hard links between files of the directory.
	Link Answer
	// RenameOver is a rename over a name that there is.
	RenameOver Answer
	// DirSync is an fsync that makes names durable.
	DirSync Answer
	// CaseSensitive is two names that differ by case alone.
	CaseSensitive Answer
	// LinkCopies is set where a hard link may copy the whole file first: overlayfs, of a file of a lower layer.
	LinkCopies bool
}

// Probe finds out what the file system of dir, which must exist, has. It makes a few empty files, and removes them, and those
// that an earlier one left. It never fails: what cannot be found out is Unknown. It waits as long as the disk does.
func Probe(fsys vfs.FS, dir string) Capabilities {
	p := &probe{fs: fsys, dir: dir}
	p.sweep()
	defer p.sweep()
	c := Capabilities{DirSync: p.dirSync(), LinkCopies: linkCopies(fsys, dir)}
	if !p.make("a") || !p.make("b") {
		return c
	}
	c.Link = judge(p.fs.Link(p.path("a"), p.path("link")), NoLink)
	// The name of the file that is there, in the other case.
	_, err := p.fs.Stat(p.path("A"))
	switch {
	case err == nil:
		c.CaseSensitive = Lacks
	case errors.Is(err, fs.ErrNotExist):
		c.CaseSensitive = Has
	}
	err = p.fs.Rename(p.path("a"), p.path("b"))
	c.RenameOver = judge(err, func(err error) bool { return errors.Is(err, fs.ErrExist) || errors.Is(err, errors.ErrUnsupported) })
	return c
}

// judge makes an answer of what a try met.
func judge(err error, lacking func(error) bool) Answer {
	switch {
	case err == nil:
		return Has
	case lacking(err):
		return Lacks
	}
	return Unknown
}

type probe struct {
	fs  vfs.FS
	dir string
}

func (p *probe) path(name string) string { return p.fs.PathJoin(p.dir, probePrefix+name) }

// make makes an empty file. That it cannot says nothing of the file system.
func (p *probe) make(name string) bool {
	f, err := p.fs.Create(p.path(name), vfs.WriteCategoryUnspecified)
	return err == nil && f.Close() == nil
}

func (p *probe) dirSync() Answer {
	f, err := p.fs.OpenDir(p.dir)
	if err != nil {
		return Unknown
	}
	err = f.Sync()
	_ = f.Close()
	return judge(err, NoDirSync)
}

// sweep removes what a probe made, and nothing else. A crash before leaves empty files, for the next one.
func (p *probe) sweep() {
	for _, name := range []string{"a", "b", "link"} {
		_ = p.fs.Remove(p.path(name))
	}
	names, _ := p.fs.List(p.dir)
	for _, name := range names {
		if IsTrial(name) {
			_ = p.fs.Remove(p.fs.PathJoin(p.dir, name))
		}
	}
}
