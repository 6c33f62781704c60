package ops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// codec reads and writes messages as Connect's own codecs do, and refuses a Write of too many parts before it makes them.
type codec struct{ name string }

// errParts: see maxParts.
var errParts = fmt.Errorf("write has more than %d operations and conditions: split it", maxParts)

// Name implements connect.Codec.
func (c codec) Name() string { return c.name }

// IsBinary tells Connect how to put a message into a URL.
func (c codec) IsBinary() bool { return c.name == "proto" }

// Marshal implements connect.Codec.
func (c codec) Marshal(m any) ([]byte, error) { return c.MarshalAppend(nil, m) }

// MarshalAppend spares Connect a copy.
func (c codec) MarshalAppend(to []byte, m any) ([]byte, error) {
	message, ok := m.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", m)
	}
	if c.IsBinary() {
		return proto.MarshalOptions{}.MarshalAppend(to, message)
	}
	return protojson.MarshalOptions{}.MarshalAppend(to, message)
}

// MarshalStable makes what Connect puts into a URL.
func (c codec) MarshalStable(m any) ([]byte, error) {
	message, ok := m.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", m)
	}
	if c.IsBinary() {
		return proto.MarshalOptions{Deterministic: true}.Marshal(message)
	}
	text, err := c.Marshal(message)
	if err != nil {
		return nil, err
	}
	var compact bytes.Buffer
	err = json.Compact(&compact, text)
	return compact.Bytes(), err
}

// Unmarshal implements connect.Codec. Fields that are not known are passed over: clients and servers need not be of one version.
func (c codec) Unmarshal(data []byte, m any) error {
	message, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", m)
	}
	_, write := m.(*messages.WriteRequest)
	if c.IsBinary() {
		if write && partsOfProto(data) > maxParts {
			return errParts
		}
		return proto.Unmarshal(data, message)
	}
	if len(data) == 0 {
		return errors.New("zero-length payload is not a valid JSON object")
	}
	if write && partsOfJSON(data) > maxParts {
		return errParts
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, message)
}

// partsOfProto counts the operations and conditions of a WriteRequest. What is no message has those before its fault.
func partsOfProto(data []byte) (parts int) {
	fields(data, func(number protowire.Number, write []byte) {
		if number == 2 {
			fields(write, func(number protowire.Number, _ []byte) {
				if number == 1 || number == 2 {
					parts++
				}
			})
		}
	})
	return parts
}

// fields calls each with the fields of a message that have bytes.
func fields(data []byte, each func(protowire.Number, []byte)) {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeField(data)
		if n < 0 {
			return
		}
		if kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(data)
			value, _ := protowire.ConsumeBytes(data[tag:])
			each(number, value)
		}
		data = data[n:]
	}
}

// partsOfJSON counts the operations and conditions of a WriteRequest by its braces. An operation has two pairs at least,
// or is empty, which is refused.
func partsOfJSON(data []byte) (parts int) {
	within := false
	for i := 0; i < len(data); i++ {
		switch {
		case within && data[i] == '\\':
			i++
		case data[i] == '"':
			within = !within
		case !within && data[i] == '{':
			parts++
		}
	}
	return parts / 2
}
