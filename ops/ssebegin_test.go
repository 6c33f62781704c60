package ops

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// streamBegins opens a stream and returns the id that it begins with, and its lines from there.
func (f *face) streamBegins(path string, headers ...string) (id uint64, lines *bufio.Reader, end func()) {
	f.Helper()
	request, err := http.NewRequestWithContext(f.Context(), "GET", f.url+path, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		f.Fatal(err)
	}
	lines = bufio.NewReader(response.Body)
	first, err := lines.ReadString('\n')
	text, ok := strings.CutPrefix(strings.TrimSpace(first), "id: ")
	if id, _ = strconv.ParseUint(text, 10, 64); err != nil || !ok {
		f.Fatalf("the stream begins with %q, %v", first, err)
	}
	return id, lines, func() { _ = response.Body.Close() }
}

// TestStreamFromItsFirstLine on has every event, and is resumed from there.
func TestStreamFromItsFirstLine(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	change := func(i int) {
		t.Helper()
		var err error
		if i%2 == 0 {
			err = f.CloseTable(t.Context(), "other")
		} else {
			err = f.OpenTable(t.Context(), "other")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// first is the id of the first event in lines.
	first := func(lines *bufio.Reader) (id uint64) {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if text, ok := strings.CutPrefix(strings.TrimSpace(line), "id: "); ok {
				id, _ = strconv.ParseUint(text, 10, 64)
				return id
			}
		}
	}
	if from, _, end := f.streamBegins("/v1/events?after=18446744073709551615"); from != f.NewestEvent() {
		t.Errorf("from another directory's event on the stream is from %d", from)
	} else {
		end()
	}
	for i := range 100 {
		before := f.NewestEvent()
		from, lines, end := f.streamBegins("/v1/events")
		if after := f.NewestEvent(); from < before || from > after {
			t.Fatalf("the stream is from %d, the newest event was %d before and %d after", from, before, after)
		}
		if i%5 == 0 { // it breaks, and is taken up again
			end()
			change(i)
			_, lines, end = f.streamBegins("/v1/events", "Last-Event-ID: "+strconv.FormatUint(from, 10))
		} else {
			change(i)
		}
		if got := first(lines); got != from+1 {
			t.Fatalf("stream %d from %d goes on with %d", i, from, got)
		}
		end()
	}
}
