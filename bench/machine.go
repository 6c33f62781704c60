package bench

import (
	"fmt"
	"runtime"
)

// Machine is what the figures were measured on, as far as it concerns them.
type Machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Used       int    `json:"gomaxprocs"`
	Platform   string `json:"platform"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	FileSystem string `json:"file_system"` // of the directory that was measured
}

// String is the machine in one line.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d of %d processors used, %s %s, %s, file system %s", m.Processor, m.Used, m.Processors, m.Platform, m.Kernel, m.Go, m.FileSystem)
}

// MachineOf returns the machine of this process, whose disk is that of dir. What the platform does not tell is called unknown.
func MachineOf(dir string) Machine {
	return Machine{Processor: orUnknown("processor", processorModel()), Processors: runtime.NumCPU(), Used: runtime.GOMAXPROCS(0),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Kernel: orUnknown("kernel", kernelRelease()), Go: runtime.Version(),
		FileSystem: orUnknown("type", fileSystem(dir))}
}

func orUnknown(what, name string) string {
	if name == "" {
		return "of unknown " + what
	}
	return name
}
