package show

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/gabiondb/gabion/messages"
)

// Key is a key as ParseKey takes it: text where a terminal can show it, else hex:....
func Key(key []byte) string {
	text := string(key)
	if Graphic(text) && !strings.HasPrefix(text, "hex:") && !strings.HasPrefix(text, "base64:") {
		return text
	}
	return "hex:" + hex.EncodeToString(key)
}

// ParseKey returns the bytes of a key that a person wrote: text, or hex:... or base64:... for other bytes. An error has a hint.
func ParseKey(text string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(text, "hex:"); ok {
		key, err := hex.DecodeString(digits)
		if err != nil {
			return nil, messages.WithHint(fmt.Errorf("key is %q, whose digits are not hexadecimal", text),
				"hex: is followed by pairs of hexadecimal digits, as in hex:00ff")
		}
		return key, nil
	}
	if digits, ok := strings.CutPrefix(text, "base64:"); ok {
		key, err := base64.StdEncoding.DecodeString(digits)
		if err != nil {
			return nil, messages.WithHint(fmt.Errorf("key is %q, which is not base64", text),
				"base64: is followed by standard, padded base64, as in base64:AP8=")
		}
		return key, nil
	}
	return []byte(text), nil
}
