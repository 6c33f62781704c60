package actors

import (
	"encoding/json"
	"errors"

	"google.golang.org/protobuf/proto"
)

// Codec turns the values of a Typed table into bytes and back. JSON, Proto and Raw are codecs; any other type
// may be one. It is used by many goroutines at once.
type Codec[T any] interface {
	// Append appends v to buf and returns the longer slice, which the caller owns: it shares nothing with
	// v. An error refuses v, and nothing is written.
	Append(buf []byte, v T) ([]byte, error)
	// Decode returns what Append was given. The value may keep b, which belongs to it.
	Decode(b []byte) (T, error)
}

// JSON stores values of any type that encoding/json knows, by its rules. A member that T has no field for is
// lost when its row is read and written again.
type JSON[T any] struct{}

// Append implements Codec.
func (JSON[T]) Append(buf []byte, v T) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(buf, b...), err
}

// Decode implements Codec.
func (JSON[T]) Decode(b []byte) (T, error) {
	var v T
	err := json.Unmarshal(b, &v)
	return v, err
}

// Proto stores generated protobuf messages in the binary format; T is the pointer, as in Proto[*messages.Put].
// Fields that T does not know yet survive reading and writing. One build of a program gives equal messages equal
// bytes; another build may not. A nil message is stored as an empty one.
type Proto[T proto.Message] struct{}

// Append implements Codec.
func (Proto[T]) Append(buf []byte, v T) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.MarshalAppend(buf, v)
}

// Decode implements Codec.
func (Proto[T]) Decode(b []byte) (T, error) {
	var none T
	if any(none) == nil {
		return none, errors.New("the codec's type is an interface, want the pointer to a generated message")
	}
	v := none.ProtoReflect().New().Interface().(T)
	if err := proto.Unmarshal(b, v); err != nil {
		return none, err
	}
	return v, nil
}

// Raw stores bytes as they are. Nil and empty are the same.
type Raw struct{}

// Append implements Codec.
func (Raw) Append(buf []byte, v []byte) ([]byte, error) { return append(buf, v...), nil }

// Decode implements Codec.
func (Raw) Decode(b []byte) ([]byte, error) { return b, nil }
