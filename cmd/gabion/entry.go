package main

import (
	"unicode/utf8"

	"github.com/gabiondb/gabion/ops/show"
)

// keySyntax is part of the help of every command that takes a key.
const keySyntax = `A key is text, or hex:... or base64:... for other bytes. A text that itself begins
so can be given as hex.`

// parseKey returns the bytes of a key given on the command line.
func parseKey(arg string) ([]byte, error) {
	key, err := show.ParseKey(arg)
	if err != nil {
		return nil, usageError{err}
	}
	return key, nil
}

// entry is one row in JSON. A key or value that is not valid UTF-8 is given in base64.
type entry struct {
	Key         *string `json:"key,omitempty"`
	KeyBase64   []byte  `json:"key_base64,omitempty"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
}

func newEntry(key, value []byte) entry {
	var e entry
	if utf8.Valid(key) {
		text := string(key)
		e.Key = &text
	} else {
		e.KeyBase64 = key
	}
	if utf8.Valid(value) {
		text := string(value)
		e.Value = &text
	} else {
		e.ValueBase64 = value
	}
	return e
}
