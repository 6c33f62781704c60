package ops

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// TestRoomOfABody: how much room a request takes before its body is read, by its size, its limit and how it is packed.
func TestRoomOfABody(t *testing.T) {
	const limit = 128 << 20
	for name, c := range map[string]struct {
		encoding string // header: value
		length   int64
		limit    int64
		want     int64
	}{
		"small":                    {"", maxSmall, limit, 0},
		"large":                    {"", 1 << 20, limit, held(1 << 20)},
		"larger than it may be":    {"", 1 << 30, limit, held(limit)},
		"of a small procedure":     {"", 1 << 20, maxSmall, 0},
		"packed, small":            {"Content-Encoding: gzip", maxSmall / mostPacked, limit, 0},
		"packed, large":            {"Content-Encoding: gzip", 10 << 10, limit, held(10 << 10 * mostPacked)},
		"packed, to its limit":     {"Content-Encoding: gzip", 1 << 20, limit, held(limit)},
		"packed, past all numbers": {"Content-Encoding: gzip", 1 << 62, limit, held(limit)},
		"packed, without a size":   {"Content-Encoding: gzip", -1, limit, held(limit)},
		"without a size":           {"", -1, limit, 0}, // it takes room as it is read
		"not packed":               {"Content-Encoding: Identity", 1 << 20, limit, held(1 << 20)},
		"packed messages":          {"Connect-Content-Encoding: gzip", -1, limit, held(limit)},
		"packed messages of gRPC":  {"Grpc-Encoding: gzip", -1, limit, held(limit)},
	} {
		s := &service{rooms: newRooms(roomSizes{bodies: 1 << 40})}
		r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
		r.ContentLength = c.length
		if key, value, ok := strings.Cut(c.encoding, ": "); ok {
			r.Header.Set(key, value)
		}
		all := &tab{who: admin}
		no := s.makeRoom(t.Context(), all, r, c.limit)
		if got := s.rooms.bodies.taken(); got != c.want || no != nil {
			t.Errorf("%s: %d B are taken, want %d: %v", name, got, c.want, no)
		}
		all.giveBack()
		if got := s.rooms.bodies.taken(); got != 0 {
			t.Errorf("%s: %d B stay taken", name, got)
		}
	}
}
