package main

import (
	"bytes"
	"testing"
)

// A newline follows a value on a terminal only.
func TestPrintValue(t *testing.T) {
	for terminal, want := range map[bool]string{false: "green", true: "green\n"} {
		var b bytes.Buffer
		out := newOutput(&b)
		out.terminal = terminal
		if err := printValue(out, []byte("apple"), []byte("green")); err != nil {
			t.Fatal(err)
		}
		if err := out.flush(); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("on a terminal %v: printed %q, want %q", terminal, b.String(), want)
		}
	}
}
