package main

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// checkNames refuses an object with the same name twice, at any depth: readers of JSON do not agree on which of the two
// counts. The next reader refuses what is no JSON.
func checkNames(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	type level struct {
		names map[string]bool // nil in an array
		value bool            // the next token is a value
	}
	var levels []level
	for {
		token, err := decoder.Token()
		if err != nil {
			return nil
		}
		top := len(levels) - 1
		if name, ok := token.(string); ok && top >= 0 && levels[top].names != nil && !levels[top].value {
			if levels[top].names[name] {
				return fmt.Errorf("object has the name %q twice", name)
			}
			levels[top].names[name] = true
			levels[top].value = true
			continue
		}
		if top >= 0 {
			levels[top].value = false
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{names: make(map[string]bool)})
		case json.Delim('['):
			levels = append(levels, level{})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:top]
		}
	}
}

// checkEntryNames refuses names that an entry does not have. The decoder takes Key for key.
func checkEntryNames(text []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return nil
	}
	for name := range object {
		switch name {
		case "key", "key_base64", "value", "value_base64":
		default:
			return fmt.Errorf("unknown field %q", name)
		}
	}
	return nil
}
