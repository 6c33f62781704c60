package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// machine is what the figures were measured on, as far as it concerns them.
type machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Used       int    `json:"gomaxprocs"`
	Platform   string `json:"platform"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	FileSystem string `json:"file_system"` // of the directory that was measured
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d of %d processors used, %s %s, %s, file system %s", m.Processor, m.Used, m.Processors, m.Platform, m.Kernel, m.Go, m.FileSystem)
}

func machineOf(dir string) machine {
	m := machine{Processor: "unknown processor", Processors: runtime.NumCPU(), Used: runtime.GOMAXPROCS(0), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Kernel: "unknown kernel", Go: runtime.Version(), FileSystem: fileSystem(dir)}
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.Processor = strings.TrimSpace(value)
				break
			}
		}
	}
	if data, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(data))
	}
	return m
}

// fileSystem is the type of the one that dir lies on.
func fileSystem(dir string) string {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return "unknown"
	}
	switch int64(stat.Type) {
	case 0xef53:
		return "ext4"
	case 0x58465342:
		return "xfs"
	case 0x9123683e:
		return "btrfs"
	case 0x01021994:
		return "tmpfs"
	case 0x794c7630:
		return "overlayfs"
	}
	return fmt.Sprintf("type %#x", int64(stat.Type))
}

// writtenBytes is what the process has had written to the disk so far, from /proc/self/io.
func writtenBytes() int64 {
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "write_bytes: "); ok {
			n, _ := strconv.ParseInt(text, 10, 64)
			return n
		}
	}
	return 0
}
