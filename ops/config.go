package ops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Config is what a server runs by. LoadConfig makes one.
type Config struct {
	// Gabion is what actors.Start gets. Start sets its Logger, Answering and Concerns.
	Gabion actors.Config
	// Before, unless nil, is called by Start once HTTP answers, and before anything is made: it may wait for a disk until ctx
	// ends. An error ends the start.
	Before func(ctx context.Context) error
	// StopTimeout is how long a stop may drain before it is cut short. Zero means 30 s.
	StopTimeout time.Duration
	// DisableSocket leaves Dir/gabion.sock out.
	DisableSocket bool
	// Web is where and to whom the server answers HTTP.
	Web WebConfig
	// LogFormat is LogText or LogJSON. Empty means LogText.
	LogFormat string
	// LogLevel is debug, info, warn or error. Empty means info.
	LogLevel string

	values []Value
}

// Value is what one setting came to, and where from.
type Value struct {
	Key string `json:"key"`
	// Text is the value as it would be written.
	Text string `json:"value"`
	// Source is "default", or names the flag, the variable, or the file with the line.
	Source string `json:"source"`
	// Beats names the weaker source that has another value, the strongest of them; empty when none has.
	Beats string `json:"beats,omitempty"`
}

// Values returns the effective value of every setting, in the order of Settings. A Config that LoadConfig did
// not make has none.
func (c *Config) Values() []Value { return slices.Clone(c.values) }

// Warnings are what is valid, and most likely a slip: tables at_cut that tables does not name. Where no tables are given
// nothing is known of them.
func (c *Config) Warnings() []string {
	var warnings []string
	for _, table := range c.Gabion.AtCut {
		if len(c.Gabion.Tables) > 0 && !slices.Contains(c.Gabion.Tables, table) {
			warnings = append(warnings, fmt.Sprintf("at_cut names %q, which tables does not: it counts if the directory has such a table", table))
		}
	}
	return warnings
}

// Sources are where LoadConfig looks. A flag beats the environment, which beats the file, which beats the default.
type Sources struct {
	// Flags holds the flags that were given, by the setting's key.
	Flags map[string]string
	// Environment looks a variable up, as os.LookupEnv does. Nil means no environment. An empty variable
	// counts as unset.
	Environment func(name string) (string, bool)
	// File is the path of a YAML file. Empty means none.
	File string
}

// given is one setting's value as a source has it.
type given struct {
	texts []string
	// at says where each text stands, and of which source.
	at     []place
	source string
	// beats is the strongest of the other sources, where its value is another one.
	beats string
}

// LoadConfig reads the configuration, of a server that serves the tables in its directory beside those named. The error joins every fault of every source, each with its place and a
// hint, and matches messages.ErrInvalid.
func LoadConfig(s Sources) (*Config, error) {
	file, faults := readFile(s.File)
	c := &Config{Gabion: actors.Config{ServeFound: true}}
	settings := Settings()
	set := make(map[string]given)
	for _, setting := range settings {
		best, errs := s.pick(setting, file)
		faults = append(faults, errs...)
		if best.texts != nil {
			set[setting.Key] = best
		}
	}
	if err := settleSchedule(set); err != nil {
		faults = append(faults, err)
	}
	slices.SortStableFunc(faults, func(a, b error) int { return lineOf(a) - lineOf(b) })
	for _, setting := range settings {
		value := Value{Key: setting.Key, Source: "default"}
		if g, ok := set[setting.Key]; ok {
			value.Source, value.Beats = g.source, g.beats
			// Its text was parsed before: it has no fault that is not told already.
			_ = setting.set(c, g.texts)
		} else if setting.Default != "" && (setting.Key != "interval" || set["cron"].texts == nil) {
			if err := setting.set(c, []string{setting.Default}); err != nil {
				return nil, fmt.Errorf("set default of %s: %w", setting.Key, err)
			}
		}
		c.values = append(c.values, value)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	c.show(settings)
	return c, nil
}

// pick returns the strongest source's value of a setting, and the faults of all its sources: a bad line of the
// file is a fault also where a flag beats it.
func (s Sources) pick(setting Setting, file map[string]given) (best given, faults []error) {
	var all []given
	if text, ok := s.Flags[setting.Key]; ok {
		all = append(all, outside(setting, text, "flag --"+setting.Flag()))
	}
	if s.Environment != nil {
		if text, ok := s.Environment(setting.Variable()); ok && text != "" {
			all = append(all, outside(setting, text, "environment "+setting.Variable()))
		}
	}
	if g, ok := file[setting.Key]; ok {
		all = append(all, g)
	}
	for _, g := range all {
		faults = append(faults, g.check(setting)...)
	}
	if len(all) > 0 {
		best = all[0]
	}
	if len(all) > 1 && !slices.Equal(all[0].texts, all[1].texts) {
		best.beats = all[1].source
	}
	return best, faults
}

// outside is a value that a flag or a variable gives.
func outside(setting Setting, text, source string) given {
	texts := []string{text}
	if setting.Kind == Names {
		texts = strings.Split(text, ",")
		for i := range texts {
			texts[i] = strings.TrimSpace(texts[i])
		}
	}
	return given{texts: texts, at: slices.Repeat([]place{{where: source}}, len(texts)), source: source}
}

// check returns what is wrong with a value.
func (g given) check(setting Setting) (faults []error) {
	if setting.Kind != Names {
		if err := setting.set(&Config{}, g.texts); err != nil {
			return []error{g.at[0].fault(err)}
		}
	}
	for i, text := range g.texts {
		if setting.Kind == Names && slices.Contains(g.texts[:i], text) {
			err := messages.WithHint(fmt.Errorf("%s names %q twice", setting.Key, text), "name each table once")
			faults = append(faults, g.at[i].fault(err))
		} else if setting.check != nil {
			if err := setting.check(text); err != nil {
				faults = append(faults, g.at[i].fault(err))
			}
		}
	}
	return faults
}

// settleSchedule lets the stronger of interval and cron win; one source that sets both is at fault.
func settleSchedule(set map[string]given) error {
	interval, cron := set["interval"], set["cron"]
	if interval.texts == nil || cron.texts == nil {
		return nil
	}
	switch order := interval.rank() - cron.rank(); {
	case order < 0:
		interval.beats = "cron, " + cron.source
		set["interval"] = interval
		delete(set, "cron")
	case order > 0:
		cron.beats = "interval, " + interval.source
		set["cron"] = cron
		delete(set, "interval")
	default:
		return cron.at[0].fault(messages.WithHint(errors.New("interval and cron are both set"), "set one of the two"))
	}
	return nil
}

// lineOf is the line of a fault in the file, 0 for one that is elsewhere.
func lineOf(fault error) int {
	var e *ConfigError
	if errors.As(fault, &e) {
		return e.Line
	}
	return 0
}

// rank orders the sources, the strongest first.
func (g given) rank() int {
	return slices.IndexFunc([]string{"flag ", "environment ", "file "}, func(prefix string) bool {
		return strings.HasPrefix(g.source, prefix)
	})
}

// show fills in the texts of values.
func (c *Config) show(settings []Setting) {
	for i, setting := range settings {
		c.values[i].Text = setting.show(c)
		switch {
		case setting.Key == "backup_dir" && c.Gabion.BackupDir == "" && c.Gabion.Dir != "":
			c.values[i].Text = store.RealFS().PathJoin(c.Gabion.Dir, store.BackupsDir)
		case setting.Key == "interval" && c.Gabion.Interval == 0:
			c.values[i].Text = ""
		}
	}
}
