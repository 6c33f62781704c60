package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gabiondb/gabion/ops"
)

// configVariable names the configuration file when --config does not.
const configVariable = "GABION_CONFIG"

// configFlags are those of a command that reads the configuration.
type configFlags struct {
	file  string
	flags *pflag.FlagSet
}

func (c *configFlags) addFlags(cmd *cobra.Command) {
	c.flags = cmd.Flags()
	c.flags.SortFlags = false
	c.flags.StringVar(&c.file, "config", "", "read the configuration from `FILE` (default $"+configVariable+")")
	c.add(func(ops.Setting) bool { return true })
}

// addRules adds only the flags that say what retention keeps; the file is named by a flag of the command's own.
func (c *configFlags) addRules(cmd *cobra.Command) {
	c.flags = cmd.Flags()
	c.add(ops.Setting.IsRule)
}

func (c *configFlags) add(wanted func(ops.Setting) bool) {
	for _, s := range ops.Settings() {
		if !wanted(s) {
			continue
		}
		value := &settingFlag{setting: s}
		usage := s.Usage
		if s.Default != "" && s.Kind != ops.Bool {
			usage += " (default " + s.Default + ")"
		}
		flag := c.flags.VarPF(value, s.Flag(), "", usage)
		if s.Kind == ops.Bool {
			flag.NoOptDefVal = "true"
		}
	}
}

// load reads the configuration from the flags, the environment and the file.
func (c *configFlags) load() (*ops.Config, error) {
	s := ops.Sources{Flags: make(map[string]string), Environment: os.LookupEnv, File: c.file}
	if s.File == "" {
		s.File = os.Getenv(configVariable)
	}
	c.flags.Visit(func(f *pflag.Flag) {
		if value, ok := f.Value.(*settingFlag); ok {
			s.Flags[value.setting.Key] = value.text
		}
	})
	return ops.LoadConfig(s)
}

// settingFlag takes any text: LoadConfig tells all that is wrong at once.
type settingFlag struct {
	setting ops.Setting
	text    string
}

func (f *settingFlag) String() string { return f.text }

func (f *settingFlag) Set(text string) error {
	if f.setting.Kind == ops.Names && f.text != "" {
		text = f.text + "," + text // given twice, both count
	}
	f.text = text
	return nil
}

// Type keeps "=true" out of the usage of a Bool.
func (f *settingFlag) Type() string {
	if f.setting.Kind == ops.Bool {
		return "bool"
	}
	return string(f.setting.Kind)
}
