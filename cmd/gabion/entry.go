package main

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// keySyntax is part of the help of every command that takes a key.
const keySyntax = `A key is text, or hex:... or base64:... for other bytes. A text that itself begins
so can be given as hex.`

// parseKey returns the bytes of a key given on the command line.
func parseKey(arg string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(arg, "hex:"); ok {
		key, err := hex.DecodeString(digits)
		if err != nil {
			return nil, usagef("hex: is followed by pairs of hexadecimal digits, as in hex:00ff", "parse key %q: %w", arg, err)
		}
		return key, nil
	}
	if digits, ok := strings.CutPrefix(arg, "base64:"); ok {
		key, err := base64.StdEncoding.DecodeString(digits)
		if err != nil {
			return nil, usagef("base64: is followed by standard, padded base64, as in base64:AP8=", "parse key %q: %w", arg, err)
		}
		return key, nil
	}
	return []byte(arg), nil
}

// printKey is a key as parseKey takes it: text where a terminal can show it, else hex:....
func printKey(key []byte) string {
	text := string(key)
	if graphic(text) && !strings.HasPrefix(text, "hex:") && !strings.HasPrefix(text, "base64:") {
		return text
	}
	return "hex:" + hex.EncodeToString(key)
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
