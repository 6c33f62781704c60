package show

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB",
		1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB", 5 << 30: "5.0 GiB", math.MaxUint64: "16.0 EiB",
	} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) is %s, want %s", n, got, want)
		}
	}
}

func TestAge(t *testing.T) {
	now := time.Date(2026, 2, 11, 14, 30, 0, 0, time.UTC)
	for before, want := range map[time.Duration]string{
		0: "0s ago", 59 * time.Second: "59s ago", time.Minute: "1m ago", 59 * time.Minute: "59m ago",
		3 * time.Hour: "3h ago", 47 * time.Hour: "47h ago", 48 * time.Hour: "2d ago", -5 * time.Second: "in 5s",
	} {
		if got := Age(now, timestamppb.New(now.Add(-before))); got != want {
			t.Errorf("age of %v is %s, want %s", before, got, want)
		}
	}
	if got := Age(now, nil); got != "never" {
		t.Errorf("age of nothing is %s", got)
	}
}

// TestPast: what has happened is never to come. A clock may be corrected by a minute.
func TestPast(t *testing.T) {
	now := time.Date(2026, 2, 11, 14, 30, 0, 0, time.UTC)
	for before, want := range map[time.Duration]string{
		0: "0s ago", 3 * time.Hour: "3h ago", -5 * time.Second: "0s ago", -time.Minute: "0s ago",
		-61 * time.Second: "dated in the future, 2026-02-11", -365 * 24 * time.Hour: "dated in the future, 2027-02-11",
	} {
		if got := Past(now, timestamppb.New(now.Add(-before))); got != want {
			t.Errorf("age of %v is %s, want %s", before, got, want)
		}
	}
	if got := Past(now, nil); got != "never" {
		t.Errorf("age of nothing is %s", got)
	}
}

// TestConcerns: the first few, and how many there are more.
func TestConcerns(t *testing.T) {
	all := []string{"a", "b", "c", "d", "e", "f"}
	for n, want := range map[int]string{0: "", 1: "a", 4: "a; b; c; d", 6: "a; b; c; d; and 2 more"} {
		if got := Concerns(all[:n]); got != want {
			t.Errorf("%d concerns are %q, want %q", n, got, want)
		}
	}
	if got := Grade(messages.Grade_GRADE_UNSPECIFIED); got != Unknown {
		t.Errorf("no grade is %q", got)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                "",
		"plain text":      "plain text",
		"größer 大 \u3000": "größer 大 \u3000",
		`say "x"`:         `say "x"`,
		`"x"`:             `"\"x\""`,
		"a\tb":            `"a\tb"`,
		"a\nb":            `"a\nb"`,
		"\x1b[31mred":     `"\x1b[31mred"`,
		"\xff":            `"\xff"`,
		"\u202eright":     `"\u202eright"`,
		"größer\n":        `"größer\n"`,
	} {
		if got := Printable(in); got != want {
			t.Errorf("Printable(%q) is %s, want %s", in, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		State(messages.TableState_TABLE_STATE_QUARANTINED): "quarantined",
		Outcome(messages.Outcome_OUTCOME_CARRIED_FORWARD):  "carried forward",
		ShortLineage("01M82SP4H82ZCXG8NMG40JDV30"):         "..G40JDV30",
		ShortLineage("short"):                              "short",
		Plural(0, "row"):                                   "0 rows",
		Plural(1, "row"):                                   "1 row",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
