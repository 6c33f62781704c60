package actors_test

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// task is a value of the tests.
type task struct {
	Text string    `json:"text"`
	Due  time.Time `json:"due,omitzero"`
	Runs int       `json:"runs,omitempty"`
}

// encode appends v behind other bytes, and returns its own.
func encode[T any](t *testing.T, codec actors.Codec[T], v T) []byte {
	t.Helper()
	buf, err := codec.Append([]byte("before"), v)
	encoded, found := bytes.CutPrefix(buf, []byte("before"))
	if err != nil || !found {
		t.Fatalf("encode %v: %q, %v", v, buf, err)
	}
	return encoded
}

func TestJSONCodec(t *testing.T) {
	codec := actors.JSON[*task]{}
	for _, want := range []*task{nil, {}, {Text: "water <the> plants", Due: time.Unix(0, 1).UTC(), Runs: -1}} {
		got, err := codec.Decode(encode(t, codec, want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v came back as %v, %v", want, got, err)
		}
	}
	if _, err := (actors.JSON[float64]{}).Append(nil, math.NaN()); err == nil {
		t.Error("encoded what JSON has no number for")
	}
	for _, text := range []string{"", "{", `{"text":1}`, `{} {}`} {
		if got, err := codec.Decode([]byte(text)); err == nil {
			t.Errorf("decoded %q as %v", text, got)
		}
	}
}

func TestProtoCodec(t *testing.T) {
	codec := actors.Proto[*messages.TableResult]{}
	want := &messages.TableResult{Table: "tasks", Failure: messages.Failf(messages.Code_CODE_UNAVAILABLE, "closed")}
	encoded := encode(t, codec, want)
	got, err := codec.Decode(bytes.Clone(encoded))
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("%v came back as %v, %v", want, got, err)
	}
	// A type that knows none of its fields keeps them.
	older := actors.Proto[*messages.ListTables]{}
	kept, err := older.Decode(encoded)
	if err != nil || !bytes.Equal(encode(t, older, kept), encoded) {
		t.Errorf("through an older type %q became %v, %v", encoded, kept, err)
	}
	if got, err := codec.Decode(encode(t, codec, nil)); err != nil || !proto.Equal(got, &messages.TableResult{}) {
		t.Errorf("nil came back as %v, %v", got, err)
	}
	if _, err := codec.Append(nil, &messages.TableResult{Table: "\xff"}); err == nil {
		t.Error("encoded a string that is no UTF-8")
	}
	if got, err := codec.Decode([]byte("\xff")); err == nil || got != nil {
		t.Errorf("decoded what is no message as %v, %v", got, err)
	}
	if got, err := (actors.Proto[proto.Message]{}).Decode(encoded); err == nil {
		t.Errorf("decoded a message of no type as %v", got)
	}
}

// TestProtoCodecIsDeterministic: equal messages have equal bytes, so that what did not change is not written again.
func TestProtoCodecIsDeterministic(t *testing.T) {
	members := map[string]any{}
	for i := range 20 {
		members[fmt.Sprint(i)] = i
	}
	v, err := structpb.NewStruct(members)
	if err != nil {
		t.Fatal(err)
	}
	codec := actors.Proto[*structpb.Struct]{}
	first := encode(t, codec, v)
	for range 20 {
		if !bytes.Equal(encode(t, codec, v), first) {
			t.Fatal("one message was encoded in two ways")
		}
	}
}

func TestRawCodec(t *testing.T) {
	for _, want := range []string{"", "\x00\xff", "bytes"} {
		value := []byte(want)
		encoded := encode(t, actors.Raw{}, value)
		if len(value) > 0 {
			value[0] = 'X'
		}
		if got, err := (actors.Raw{}).Decode(encoded); err != nil || string(got) != want {
			t.Errorf("%q came back as %q, %v", want, got, err)
		}
	}
}
