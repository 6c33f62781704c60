package ops

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/messagesconnect"
)

// TestRequestLimits: what carries no value has 64 KiB, and so has a procedure that is new.
func TestRequestLimits(t *testing.T) {
	b := bounds{request: maxRequest}
	for path := range procedures {
		want := int64(64 << 10)
		switch path {
		case messagesconnect.GabionServiceWriteProcedure:
			want = 128 << 20
		case messagesconnect.GabionServicePutProcedure:
			want = 22440616 // 16 MiB and 4 KiB as base64, and 64 KiB
		}
		if got := b.requestLimit(path); got != want {
			t.Errorf("%s may have %d B, want %d", path, got, want)
		}
	}
	if got := b.requestLimit("/login"); got != maxSmall {
		t.Errorf("another page may have %d B", got)
	}
	// The largest requests of their kinds fit as JSON.
	key := bytes.Repeat([]byte{255}, messages.MaxKey)
	for path, m := range map[string]proto.Message{
		messagesconnect.GabionServicePutProcedure:         &messages.PutRequest{Table: "t", Put: &messages.Put{Key: key, Value: make([]byte, messages.MaxValue)}},
		messagesconnect.GabionServiceScanProcedure:        &messages.ScanRequest{Table: "t", Scan: &messages.Scan{Start: key, End: key, Prefix: key}},
		messagesconnect.GabionServiceDeleteRangeProcedure: &messages.DeleteRangeRequest{Table: "t", DeleteRange: &messages.DeleteRange{Start: key, End: key}},
	} {
		if text := protojson.Format(m); int64(len(text)) > b.requestLimit(path) {
			t.Errorf("%s: the largest has %d B", path, len(text))
		}
	}
}

// ways are the ways in which a compressed request can come, with its type and encoding header.
var ways = map[string]struct{ kind, encoding string }{
	"json":     {"application/json", "Content-Encoding"},
	"proto":    {"application/proto", "Content-Encoding"},
	"grpc":     {"application/grpc", "Grpc-Encoding"},
	"grpc-web": {"application/grpc-web+proto", "Grpc-Encoding"},
	"connect":  {"application/connect+proto", "Connect-Content-Encoding"},
}

// bomb is a request that unpacks to size bytes, and its headers. No field of any message has its number.
func bomb(t *testing.T, way string, n int) (string, []string) {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	before, after := protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.BytesType), uint64(n)), ""
	if way == "json" {
		before, after = []byte(`{"nosuch":"`), `"}`
	}
	_, err := w.Write(before)
	chunk := bytes.Repeat([]byte("a"), 1<<16)
	for sent := 0; sent < n && err == nil; sent += len(chunk) {
		_, err = w.Write(chunk[:min(len(chunk), n-sent)])
	}
	if err == nil {
		_, err = io.WriteString(w, after)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	body := packed.String()
	if way != "json" && way != "proto" {
		body = "\x01" + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)))) + body
	}
	return body, []string{"Content-Type: " + ways[way].kind, ways[way].encoding + ": gzip", "Te: trailers"}
}

// refusal is the code and message of an answer, in whichever way it came.
func refusal(a httpAnswer) string {
	return a.body + a.Trailer.Get("Grpc-Status") + a.Trailer.Get("Grpc-Message") + a.Header.Get("Grpc-Status") + a.Header.Get("Grpc-Message")
}

// TestBombs: no procedure unpacks more than it may hold, in whatever way a request comes. None unpacks anything for a
// client without a token.
func TestBombs(t *testing.T) {
	f := newFace(t, HandlerOptions{AdminToken: adminToken, ReadToken: readToken_,
		bounds: bounds{request: 1 << 20, header: headerTimeout, stall: stallTimeout}}, nil)
	for way := range ways {
		body, headers := bomb(t, way, 32<<20)
		under, _ := bomb(t, way, 60<<10)
		for path, p := range procedures {
			if p.stream != (way == "connect") && strings.HasPrefix(ways[way].kind, "application/") && !strings.Contains(way, "grpc") {
				continue // the way is not for this procedure
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := f.ask("POST", path, body, append(headers, tokenHeader(adminToken))...)
			if text := refusal(got); !strings.Contains(text, "request unpacks to more than") {
				t.Errorf("%s, %s: %s %.200q", path, way, got.Status, text)
			}
			stranger := f.ask("POST", path, body, headers...)
			if text := refusal(stranger); !strings.Contains(text, "no token given") {
				t.Errorf("%s, %s, without a token: %s %.200q", path, way, stranger.Status, text)
			}
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
				t.Errorf("%s, %s: %d B were allocated", path, way, grown)
			}
			if path == messagesconnect.GabionServiceEventsProcedure {
				continue // it follows
			}
			if text := refusal(f.ask("POST", path, under, append(headers, tokenHeader(adminToken))...)); strings.Contains(text, "more than") {
				t.Errorf("%s, %s: a request of 60 KiB: %.200q", path, way, text)
			}
		}
	}
}

// TestPartsOfAWrite: a Write of more parts than it may have is refused before they are made, and one of as many is not.
func TestPartsOfAWrite(t *testing.T) {
	for _, c := range []struct {
		name            string
		begin, one, end string
	}{
		{"proto", "", "", ""},
		{"json", `{"table":"fruit","write":{"ops":[`, `{"delete":{}},`, `{"delete":{}}]}}`},
		{"json", "{\"write\":{\"ops\":[", "{\"delete\":{\"key\":\"\\u007b\"}},", "{}]}}"},
	} {
		text := func(n int) []byte {
			if c.name == "proto" {
				write := bytes.Repeat([]byte{1<<3 | 2, 0}, n/2)
				write = append(write, bytes.Repeat([]byte{2<<3 | 2, 0}, n-n/2)...)
				return protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), write)
			}
			return []byte(c.begin + strings.Repeat(c.one, n-1) + c.end)
		}
		if err := (codec{c.name}).Unmarshal(text(maxParts+100), &messages.WriteRequest{}); !errors.Is(err, errParts) {
			t.Errorf("%s: too many: %v", c.name, err)
		}
		if err := (codec{c.name}).Unmarshal(text(1000), &messages.WriteRequest{}); errors.Is(err, errParts) {
			t.Errorf("%s: not too many: %v", c.name, err)
		}
	}
	// Whatever follows is the decoder's to refuse.
	for _, bad := range []string{"\x12", "\x12\x05\x0a", "\xff\xff", "{", `{"`, `"\`} {
		for _, name := range []string{"proto", "json"} {
			if err := (codec{name}).Unmarshal([]byte(bad), &messages.WriteRequest{}); err == nil || errors.Is(err, errParts) {
				t.Errorf("%s %q: %v", name, bad, err)
			}
		}
	}
	_, c := serving(t)
	many := &messages.Write{Ops: make([]*messages.Op, maxParts+1)}
	for i := range many.Ops {
		many.Ops[i] = &messages.Op{}
	}
	if _, err := c.Table("fruit").Write(t.Context(), many); !errors.Is(err, messages.ErrInvalid) || !strings.Contains(err.Error(), "split it") {
		t.Errorf("through the socket: %v", err)
	}
}

// TestPartsOfJSON: braces within a string are no parts, and each operation is one.
func TestPartsOfJSON(t *testing.T) {
	for text, want := range map[string]int{
		`{"a":"{{{{\"{{{{"}`: 0, `{"a":"\\","b":{"c":{"d":{}}}}`: 2, `{"a":"\\\"{{{{{{"}`: 0, `{}`: 0,
		`{"write":{"ops":[` + strings.Repeat(`{"put":{"key":"aw=="}},`, 1000) + `]}}`: 1001,
	} {
		if got := partsOfJSON([]byte(text)); got != want {
			t.Errorf("%.40s has %d parts, want %d", text, got, want)
		}
	}
}

// TestCodecs: what they write is what Connect's own write, as far as that is fixed.
func TestCodecs(t *testing.T) {
	m := &messages.Value{Found: true, Value: []byte("v"), Seq: 1 << 60}
	for name, c := range map[string]codec{"proto": {"proto"}, "json": {"json"}} {
		for _, marshal := range []func(any) ([]byte, error){c.Marshal, c.MarshalStable} {
			data, err := marshal(m)
			got := &messages.Value{}
			if err = errors.Join(err, c.Unmarshal(data, got)); err != nil || !proto.Equal(got, m) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			if _, err := marshal(name); err == nil {
				t.Errorf("%s marshals text", name)
			}
		}
		if err := c.Unmarshal(nil, name); err == nil {
			t.Errorf("%s unmarshals text", name)
		}
	}
	if err := (codec{"json"}).Unmarshal([]byte(`{"found":true,"newer":{}}`), &messages.Value{}); err != nil {
		t.Errorf("a field of a newer client: %v", err)
	}
}

// tokenHeader is the header that shows a token.
func tokenHeader(token string) string { return "Authorization: Bearer " + token }
