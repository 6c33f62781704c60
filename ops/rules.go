package ops

import (
	"fmt"
	"strings"

	"github.com/gabiondb/gabion/messages"
)

// IsRule reports whether a setting says what retention keeps.
func (s Setting) IsRule() bool { return s.Key == "keep" || strings.HasPrefix(s.Key, "keep_") }

// CheckRules returns an error that matches messages.ErrInvalid where config gives rules of retention, by flags, the
// environment or a file, that are not those of the server: it goes by its own. A rule that config leaves to its default is not
// compared. A server that does not say its rules (protocol 1.5) is taken to have others.
func (c *Client) CheckRules(config *Config) error {
	ours, theirs := ruleTexts(config.Gabion.Rules()), ruleTexts(c.info.GetRules())
	var others []string
	for _, value := range config.Values() {
		switch its, rule := theirs[value.Key]; {
		case !rule || value.Source == "default":
		case c.info.GetRules() == nil:
			others = append(others, fmt.Sprintf("%s %s (%s)", value.Key, ours[value.Key], value.Source))
		case its != ours[value.Key]:
			others = append(others, fmt.Sprintf("%s %s (%s): it has %s", value.Key, ours[value.Key], value.Source, its))
		}
	}
	if len(others) == 0 {
		return nil
	}
	return messages.WithHint(fmt.Errorf("a server holds the directory and goes by its own rules, not by %s: %w", strings.Join(others, ", "), messages.ErrInvalid),
		"leave them out to go by the server's rules; to change those, start the server with others")
}

// ruleTexts are the rules by the keys of the configuration.
func ruleTexts(r *messages.RetentionRules) map[string]string {
	return map[string]string{
		"keep": fmt.Sprint(r.GetKeep()), "keep_hourly": fmt.Sprint(r.GetKeepHourly()), "keep_daily": fmt.Sprint(r.GetKeepDaily()),
		"keep_weekly": fmt.Sprint(r.GetKeepWeekly()), "keep_monthly": fmt.Sprint(r.GetKeepMonthly()),
		"keep_within": r.GetKeepWithin().AsDuration().String(),
	}
}
