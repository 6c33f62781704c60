package store

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gabiondb/gabion/messages"
)

// setAll sets every field of a message to something else than its zero value.
func setAll(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch f.Kind() {
		case protoreflect.MessageKind:
			setAll(m.Mutable(f).Message())
		case protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString("x"))
		case protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOfUint32(uint32(f.Number())))
		case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
			m.Set(f, protoreflect.ValueOfUint64(uint64(f.Number())))
		case protoreflect.Int64Kind:
			m.Set(f, protoreflect.ValueOfInt64(int64(f.Number())))
		case protoreflect.EnumKind:
			m.Set(f, protoreflect.ValueOfEnum(1))
		default:
			panic("setAll does not know " + f.FullName())
		}
	}
}

// TestSuccessor has every field of the record, those of a newer version too, and shares none that a group changes.
func TestSuccessor(t *testing.T) {
	known, newer, newerPosition := &messages.TableRecord{}, &messages.TableRecord{}, &messages.TableRecord{}
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 7)
	for _, r := range []*messages.TableRecord{known, newer, newerPosition} {
		setAll(r.ProtoReflect())
	}
	newer.ProtoReflect().SetUnknown(unknown)
	newerPosition.GetPosition().ProtoReflect().SetUnknown(unknown)
	for _, r := range []*messages.TableRecord{known, newer, newerPosition, {}, {Table: "t"}} {
		before := proto.CloneOf(r)
		next := successor(r)
		if !proto.Equal(next, r) {
			t.Errorf("successor of %v is %v", r, next)
		}
		if next.GetPosition() != nil {
			next.Position.Seq++
		}
		next.Count++
		if !proto.Equal(r, before) {
			t.Errorf("%v became %v", before, r)
		}
	}
}
