package ops

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// set parses text, or each of the texts of Names, into the setting's field.
func (s Setting) set(c *Config, texts []string) error {
	if names, ok := s.field(c).(*[]string); ok {
		*names = texts
		return nil
	}
	text := texts[0]
	var value int64
	var err error
	switch s.Kind {
	case Bool:
		var on bool
		if on, err = parseBool(s.Key, text); err == nil {
			*s.field(c).(*bool) = on
		}
		return err
	case Number:
		value, err = parseNumber(s.Key, text)
	case Duration:
		value, err = parseDuration(s.Key, text)
	case Size:
		value, err = ParseSize(s.Key, text)
	case Mode:
		value, err = parseMode(s.Key, text)
	default:
		*s.field(c).(*string) = text
		return nil
	}
	if err == nil {
		err = s.bound(value)
	}
	if err != nil {
		return err
	}
	switch field := s.field(c).(type) {
	case *int:
		*field = int(value)
	case *int64:
		*field = value
	case *uint64:
		*field = uint64(value)
	case *time.Duration:
		*field = time.Duration(value)
	case *fs.FileMode:
		*field = fs.FileMode(value)
	}
	return nil
}

// bound returns an error unless value lies within Min and Max.
func (s Setting) bound(value int64) error {
	switch {
	case value < s.Min:
		return messages.WithHint(fmt.Errorf("%s is %s, minimum is %s", s.Key, s.format(value), s.format(s.Min)), s.advice())
	case s.Max > 0 && value > s.Max:
		return messages.WithHint(fmt.Errorf("%s is %s, maximum is %s", s.Key, s.format(value), s.format(s.Max)), s.advice())
	}
	return nil
}

func (s Setting) advice() string {
	return fmt.Sprintf("leave %s out for its default, %s", s.Key, s.Default)
}

// format writes a number as parse reads it.
func (s Setting) format(value int64) string {
	switch s.Kind {
	case Duration:
		return formatDuration(time.Duration(value))
	case Size:
		return formatSize(value)
	}
	return strconv.FormatInt(value, 10)
}

// show is the field's value as it would be written.
func (s Setting) show(c *Config) string {
	switch field := s.field(c).(type) {
	case *string:
		return *field
	case *[]string:
		return strings.Join(*field, ",")
	case *bool:
		return strconv.FormatBool(*field)
	case *int:
		return s.format(int64(*field))
	case *int64:
		return s.format(*field)
	case *uint64:
		return s.format(int64(*field))
	case *time.Duration:
		return s.format(int64(*field))
	case *fs.FileMode:
		if *field == 0 {
			return ""
		}
		return fmt.Sprintf("%04o", uint32(*field))
	}
	return ""
}

func parseBool(key, text string) (bool, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, messages.WithHint(fmt.Errorf("%s is %q", key, text), "write true or false")
}

func parseNumber(key, text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, messages.WithHint(fmt.Errorf("%s is %q", key, text), "write a whole number, as in 16")
	}
	return n, nil
}

// parseMode parses a mode in octal, which must let the owner do everything.
func parseMode(key, text string) (int64, error) {
	mode, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	if err != nil || mode&^0o777 != 0 || mode&0o700 != 0o700 {
		return 0, messages.WithHint(fmt.Errorf("%s is %q", key, text), "write 0700, or 0750 to let the group read, in octal")
	}
	return int64(mode), nil
}

func parseDuration(key, text string) (int64, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, messages.WithHint(fmt.Errorf("%s is %q", key, text),
			"write a number with its unit, h, m, s or ms, as in 24h or 1h30m")
	}
	return int64(d), nil
}

// units of a size, the largest first.
var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// ParseSize parses a number of bytes, or one with KiB, MiB or GiB. key is what the error calls it.
func ParseSize(key, text string) (int64, error) {
	digits, factor := text, int64(1)
	for _, unit := range units {
		if rest, ok := strings.CutSuffix(text, unit.name); ok {
			digits, factor = strings.TrimSpace(rest), unit.bytes
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err == nil && (n > (1<<63-1)/factor || n < 0) {
		err = errors.New("out of range")
	}
	if err != nil {
		return 0, messages.WithHint(fmt.Errorf("%s is %q", key, text),
			"write a number of bytes, or one with KiB, MiB or GiB, as in 64MiB")
	}
	return n * factor, nil
}

func formatSize(n int64) string {
	for _, unit := range units {
		if n >= unit.bytes && n%unit.bytes == 0 {
			return strconv.FormatInt(n/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// formatDuration is d without the zero units of its String: 24h0m0s is 24h.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func oneOf(key string, texts ...string) func(string) error {
	return func(text string) error {
		if slices.Contains(texts, text) {
			return nil
		}
		return messages.WithHint(fmt.Errorf("%s is %q", key, text), "write "+strings.Join(texts, " or "))
	}
}

func checkName(name string) error {
	if name == "" || strings.ContainsAny(name, "/ ") {
		return messages.WithHint(fmt.Errorf("name is %q", name), "use a name without slashes and spaces")
	}
	return nil
}
