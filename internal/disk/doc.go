// Package disk is the operating system's file system, as the rooms below use it: OS is a vfs.FS.
//
// Its invariant: no file operation leaves its directory, and none waits or fails for anything but the file itself. What
// OS opens is a regular file under that very name, or an error (KindError) says what stands there. Within refuses a
// symbolic link on the way to a file. ReadFile reads no more than a limit. An interrupted call is made again, and a call
// that is mere advice to the system has no error.
//
// On Windows, OS leaves opens, locks and modes to Pebble's own file system; Within and ReadFile are the same there.
package disk
