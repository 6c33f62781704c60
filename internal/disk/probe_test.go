package disk

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// poorFS fails the calls that are named with the given errors. It folds names where fold is set.
type poorFS struct {
	vfs.FS
	fail map[string]error
	fold bool
}

func (p *poorFS) Unwrap() vfs.FS { return p.FS }

func (p *poorFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := cmp.Or(p.fail["create"], p.fail["create "+p.PathBase(name)]); err != nil {
		return nil, err
	}
	return p.FS.Create(name, c)
}

func (p *poorFS) Link(from, to string) error {
	if err := p.fail["link"]; err != nil {
		return err
	}
	return p.FS.Link(from, to)
}

func (p *poorFS) Rename(from, to string) error {
	if err := p.fail["rename"]; err != nil {
		return err
	}
	return p.FS.Rename(from, to)
}

func (p *poorFS) Stat(name string) (vfs.FileInfo, error) {
	if err := p.fail["stat"]; err != nil {
		return nil, err
	}
	if p.fold {
		name = strings.ToLower(name)
	}
	return p.FS.Stat(name)
}

func (p *poorFS) OpenDir(name string) (vfs.File, error) {
	if err := p.fail["opendir"]; err != nil {
		return nil, err
	}
	f, err := p.FS.OpenDir(name)
	return &poorDir{f, p.fail["dirsync"]}, err
}

type poorDir struct {
	vfs.File
	err error
}

func (d *poorDir) Sync() error { return errors.Join(d.err, d.File.Sync()) }

func TestProbe(t *testing.T) {
	all := Capabilities{Link: Has, RenameOver: Has, DirSync: Has, CaseSensitive: Has}
	without := func(change func(*Capabilities)) Capabilities {
		c := all
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		fail map[string]error
		fold bool
		want Capabilities
	}{
		"everything":         {want: all},
		"no links":           {fail: map[string]error{"link": syscall.EPERM}, want: without(func(c *Capabilities) { c.Link = Lacks })},
		"links never known":  {fail: map[string]error{"link": syscall.ENOSYS}, want: without(func(c *Capabilities) { c.Link = Lacks })},
		"links that fail":    {fail: map[string]error{"link": syscall.EIO}, want: without(func(c *Capabilities) { c.Link = Unknown })},
		"no rename over":     {fail: map[string]error{"rename": syscall.EEXIST}, want: without(func(c *Capabilities) { c.RenameOver = Lacks })},
		"rename not known":   {fail: map[string]error{"rename": syscall.ENOSYS}, want: without(func(c *Capabilities) { c.RenameOver = Lacks })},
		"rename that fails":  {fail: map[string]error{"rename": syscall.EIO}, want: without(func(c *Capabilities) { c.RenameOver = Unknown })},
		"no fsync of names":  {fail: map[string]error{"dirsync": syscall.EINVAL}, want: without(func(c *Capabilities) { c.DirSync = Lacks })},
		"fsync not known":    {fail: map[string]error{"dirsync": syscall.ENOTSUP}, want: without(func(c *Capabilities) { c.DirSync = Lacks })},
		"fsync that fails":   {fail: map[string]error{"dirsync": syscall.EIO}, want: without(func(c *Capabilities) { c.DirSync = Unknown })},
		"one case":           {fold: true, want: without(func(c *Capabilities) { c.CaseSensitive = Lacks })},
		"look that fails":    {fail: map[string]error{"stat": syscall.EIO}, want: without(func(c *Capabilities) { c.CaseSensitive = Unknown })},
		"no open directory":  {fail: map[string]error{"opendir": syscall.EACCES}, want: without(func(c *Capabilities) { c.DirSync = Unknown })},
		"first file fails":   {fail: map[string]error{"create .probe-a": syscall.EIO}, want: Capabilities{DirSync: Has}},
		"second file fails":  {fail: map[string]error{"create .probe-b": syscall.EIO}, want: Capabilities{DirSync: Has}},
		"full disk":          {fail: map[string]error{"create": syscall.ENOSPC}, want: Capabilities{DirSync: Has}},
		"read-only mount":    {fail: map[string]error{"create": syscall.EROFS}, want: Capabilities{DirSync: Has}},
		"directory is gone":  {fail: map[string]error{"create": fs.ErrNotExist}, want: Capabilities{DirSync: Has}},
		"fsync is forbidden": {fail: map[string]error{"dirsync": syscall.EACCES}, want: without(func(c *Capabilities) { c.DirSync = Unknown })},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			if err := mem.MkdirAll("/dir", 0o700); err != nil {
				t.Fatal(err)
			}
			// What a crash left of an earlier one goes, and nothing else does.
			for _, file := range []string{"/dir/.probe-b", "/dir/.probe-link", "/dir/.probe-of-another", "/dir/gabion.json"} {
				f, err := mem.Create(file, vfs.WriteCategoryUnspecified)
				if err := errors.Join(err, f.Close()); err != nil {
					t.Fatal(err)
				}
			}
			if got := Probe(&poorFS{FS: mem, fail: c.fail, fold: c.fold}, "/dir"); got != c.want {
				t.Errorf("probed %+v, want %+v", got, c.want)
			}
			if names, err := mem.List("/dir"); err != nil || !slices.Equal(slices.Sorted(slices.Values(names)), []string{".probe-of-another", "gabion.json"}) {
				t.Errorf("left %v, %v", names, err)
			}
		})
	}
}

// On the disk of the test, whatever it is, a probe leaves nothing.
func TestProbeOfARealDisk(t *testing.T) {
	system, dir := OS(0), t.TempDir()
	c := Probe(system, dir)
	if c.RenameOver != Has {
		t.Errorf("probed %+v", c)
	}
	if names, err := system.List(dir); err != nil || len(names) > 0 {
		t.Errorf("left %v, %v", names, err)
	}
}
