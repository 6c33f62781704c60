package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// dashboardAddress is where the server that the demo proposes has its dashboard.
const dashboardAddress = "127.0.0.1:7070"

// nextCommands are the three commands that come after a demo, as a shell takes them.
func nextCommands(dir string) string {
	var lines strings.Builder
	for _, command := range []string{"serve --http " + dashboardAddress, "health", "restore " + channelHistory} {
		fmt.Fprintf(&lines, "  %s %s --dir %s\n", program(), command, quoted(dir))
	}
	return lines.String()
}

// program is what a shell in this directory runs this very program by.
func program() string {
	path, err := os.Executable()
	if err != nil {
		return "gabion"
	}
	if strings.Contains(filepath.ToSlash(path), "/go-build") { // of go run, which removes it
		if _, err := os.Stat(filepath.FromSlash("cmd/gabion/main.go")); err == nil {
			return "go run ./cmd/gabion"
		}
		return "go run github.com/gabiondb/gabion/cmd/gabion@latest"
	}
	if found, err := exec.LookPath("gabion"); err == nil && same(found, path) {
		return "gabion"
	}
	return quoted(path)
}

// same reports whether two paths are of one file.
func same(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

var unquoted = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// quoted is text as one word of a POSIX shell.
func quoted(text string) string {
	if unquoted.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
