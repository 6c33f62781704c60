//go:build !windows

package ops

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// CheckUser returns an error unless this process may change dir, a DIR or a BACKUPDIR, and whoever else uses it could go on with
// what this process makes there. dirMode is actors.Config.DirMode. The rule, which is that of docs/operate.md:
//
// Gabion's own files say whose dir is, and dir itself does not: it may be the root of a volume. They are LOCK and tables, or sets
// in a BACKUPDIR, without which nothing works; gabion.json counts where both are missing, and must be readable.
//
//   - This process must be able to read and write them.
//   - One that belongs to another user must be shared with that user: it, and what this process makes beside it, have the same
//     group, and let that group read and write.
//   - Where there is none yet, root needs more than its power to make files in dir: it belongs to root, or its mode lets root
//     in. Everybody else was let in by somebody.
//
// Whose the files would be that this process makes is found out by making one before anything is refused for it: a network's file
// system may give all files to one user, and a user namespace has numbers of its own.
//
// A dir that is missing, or mounted for reading only, is not for CheckUser to refuse.
func CheckUser(dir string, dirMode fs.FileMode) error { return checkUser(dir, dirMode, true) }

// CheckReader returns an error unless this process may read dir, a DIR or a BACKUPDIR. Who reads makes nothing, so that it
// does not matter whose dir is.
func CheckReader(dir string) error { return checkUser(dir, 0, false) }

func checkUser(dir string, dirMode fs.FileMode, changes bool) error {
	files := store.RealFS()
	path, err := store.RealPath(files, dir)
	if err != nil {
		return nil // the open says why
	}
	own, err := disk.OwnerOf(path)
	if err != nil || !own.Mode.IsDir() {
		return nil
	}
	// A file that is to be made needs the directory, one that is there does not.
	fresh := uint32(5)
	if _, err := disk.OwnerOf(files.PathJoin(path, disk.InfoFile)); errors.Is(err, os.ErrNotExist) {
		fresh = 7
	}
	g := ground{dir: dir, own: own, user: uint32(os.Geteuid()), admitted: own.Admits(), changes: changes}
	for _, f := range []struct {
		name       string
		read, both uint32 // what must be permitted, to read and for changes
	}{{"", 5, fresh}, {disk.InfoFile, 4, 4}, {"LOCK", 0, 6}, {"tables", 5, 7}, {"sets", 0, 7}} {
		at := files.PathJoin(path, f.name)
		owner, err := disk.OwnerOf(at)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		need := f.read
		if changes {
			need = f.both
		}
		if err == nil {
			err = disk.Permits(at, need)
		}
		if errors.Is(err, syscall.EROFS) {
			return nil // where nothing can be made, nobody is kept from it
		}
		barred := errors.Is(err, os.ErrPermission)
		g.files = append(g.files, owned{Owner: owner, name: f.name, heir: owner.Heir(), barred: barred})
		if barred && f.name == "" {
			break // nothing in it can be looked at
		}
	}
	making := disk.Keeping(disk.OS(dirMode), path)
	g.made = disk.Owner{User: g.user, Group: own.Heir(), Mode: disk.ModeAt(making, path) & 0o666}
	g.try = func() (disk.Owner, error) { return disk.TryOwner(making, path) }
	return g.check()
}

// ground is what is known before dir is opened.
type ground struct {
	dir string
	own disk.Owner // dir's
	// user is the one of this process, admitted whether the mode of dir lets it make files.
	user     uint32
	admitted bool
	changes  bool
	files    []owned // dir itself, and those of Gabion's that are there
	// made is what a file would be that this process makes; try makes one.
	made disk.Owner
	try  func() (disk.Owner, error)
}

// owned is one of Gabion's files, or dir itself, which has no name.
type owned struct {
	disk.Owner
	name string
	// heir is the group of what this process makes in it, where it is a directory.
	heir uint32
	// barred: this process may not do with it what it must.
	barred bool
}

// label is how a person reads of it.
func (o owned) label() string { return cmp.Or(o.name, "the directory") }

// check is CheckUser, or CheckReader.
func (g ground) check() error {
	if barred := g.pick(func(o owned) bool { return o.barred }); len(barred) > 0 {
		return g.refuseBarred(barred)
	}
	if !g.changes {
		return nil
	}
	foreign := g.foreign()
	if len(foreign) == 0 {
		return nil
	}
	made, err := g.try()
	if errors.Is(err, syscall.EROFS) {
		return nil
	}
	if err == nil {
		if g.made = made; len(g.foreign()) == 0 {
			return nil
		}
	}
	return g.refuseForeign(g.foreign())
}

func (g ground) pick(which func(owned) bool) (found []owned) {
	for _, o := range g.files {
		if which(o) {
			found = append(found, o)
		}
	}
	return found
}

// foreign returns what belongs to users who could not go on with what this process makes.
func (g ground) foreign() []owned {
	telling := g.pick(func(o owned) bool { return o.name != "" && o.name != disk.InfoFile })
	if len(telling) == 0 {
		telling = g.pick(func(o owned) bool { return o.name == disk.InfoFile })
	}
	if len(telling) == 0 && g.user == 0 && !g.admitted {
		telling = []owned{{Owner: g.own}}
	}
	return slices.DeleteFunc(telling, func(o owned) bool { return o.User == g.made.User || o.name != "" && g.shares(o) })
}

// shares tells whether the group of a file may do with what this process makes what it may do with the file.
func (g ground) shares(o owned) bool {
	const both = 0o060
	return o.Group == g.made.Group && o.Mode&both == both && g.made.Mode&both == both && (!o.Mode.IsDir() || o.heir == o.Group) &&
		(o.Mode|g.own.Mode)&fs.ModeSticky == 0
}

func (g ground) refuseBarred(barred []owned) error {
	var names []string
	for _, o := range barred {
		names = append(names, fmt.Sprintf("%s (user %d, group %d, mode %04o)", o.label(), o.User, o.Group, o.Mode.Perm()))
	}
	last := barred[len(barred)-1]
	hint := asUser(last.User)
	switch {
	case last.User == g.user:
		hint = "let this user use its own files: chmod -R u+rwX " + quoted(g.dir)
	case g.mixed(barred):
		hint = g.oneUser(g.user)
	case g.admitted:
		hint += "; or have that user share it with the group: " + g.sharing(g.own.Group)
	}
	what := "read"
	if g.changes {
		what = "read and write"
	}
	return messages.WithHint(fmt.Errorf("directory %s: user %d may not %s %s: %w", g.dir, g.user, what, strings.Join(names, ", "), os.ErrPermission),
		hint)
}

func (g ground) refuseForeign(foreign []owned) error {
	byUser := make(map[uint32][]string)
	for _, o := range foreign {
		byUser[o.User] = append(byUser[o.User], o.label())
	}
	var whose []string
	for _, user := range slices.Sorted(maps.Keys(byUser)) {
		whose = append(whose, fmt.Sprintf("user %d (%s)", user, strings.Join(byUser[user], ", ")))
	}
	last := foreign[len(foreign)-1]
	hint := asUser(last.User)
	switch {
	case last.name == "":
		hint += fmt.Sprintf("; or give the directory to this one: chown %d %s", g.made.User, quoted(g.dir))
	case len(byUser) > 1 || g.mixed(foreign):
		hint = g.oneUser(last.User)
	case (g.own.Mode|last.Mode)&fs.ModeSticky != 0:
		hint += fmt.Sprintf("; or let a group replace each other's files: find %s -type d -exec chmod -t {} +", quoted(g.dir))
	case last.Mode&0o060 == 0o060 && g.made.Mode&0o060 != 0o060:
		hint = "leave dir_mode out, or set it to 0770: the files are shared with a group; or " + hint
	case last.Mode&0o060 == 0o060:
		hint += "; or let new files have the group: " + g.sharing(last.Group)
	}
	belongs := "belongs to " + strings.Join(whose, " and ")
	if last.name == "" {
		belongs = fmt.Sprintf("is empty and belongs to user %d", last.User)
	}
	return messages.WithHint(fmt.Errorf("directory %s %s, who could not use what user %d makes there: %w",
		g.dir, belongs, g.made.User, os.ErrPermission), hint)
}

// mixed tells whether some of what counts is this user's, beside what is not.
func (g ground) mixed(others []owned) bool {
	return len(g.pick(func(o owned) bool {
		return o.name != "" && o.name != disk.InfoFile && o.User == g.made.User && !slices.Contains(others, o)
	})) > 0
}

// oneUser is what a person types where files belong to several users.
func (g ground) oneUser(user uint32) string {
	return fmt.Sprintf("give all files to one user, and run as that user: chown -R %d %s", user, quoted(g.dir))
}

func asUser(user uint32) string {
	return fmt.Sprintf("run as the user who owns it: sudo -u '#%d' gabion ..., or --user %d for a container", user, user)
}

// sharing is what a person types to have a group use the directory.
func (g ground) sharing(group uint32) string {
	dir := quoted(g.dir)
	return fmt.Sprintf("chgrp -R %d %s && find -H %s ! -type l ! -type s -exec chmod g+rwX {} + && find -H %s -type d -exec chmod g+s {} +", group, dir, dir, dir)
}

func quoted(path string) string { return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'" }
