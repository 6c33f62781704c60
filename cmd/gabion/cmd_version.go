package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is what this binary was built from, as far as the Go tool recorded it.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion(out *output) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Example: `  gabion version
  gabion version --json`,
		Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			v := version{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
				v.Version = info.Main.Version
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						v.Revision = s.Value
					}
				}
			}
			if out.json {
				return out.line(v)
			}
			if err := out.printf("gabion %s, %s, %s", v.Version, v.Go, v.Platform); err != nil {
				return err
			}
			if v.Revision != "" {
				if err := out.printf(", revision %s", v.Revision); err != nil {
					return err
				}
			}
			return out.printf("\n")
		},
	}
}
