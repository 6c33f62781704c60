package messages

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// SetMessage makes event what was logged. It tells whether events of that kind can be; event must not change afterwards.
func (e *LoggedEvent) SetMessage(event proto.Message) bool {
	field := loggedAs(event.ProtoReflect().Descriptor().FullName())
	if field == nil {
		return false
	}
	e.ProtoReflect().Set(field, protoreflect.ValueOfMessage(event.ProtoReflect()))
	return true
}

// Message returns the event itself, nil where it is not known.
func (e *LoggedEvent) Message() proto.Message {
	m := e.ProtoReflect()
	field := m.WhichOneof(loggedKinds())
	if field == nil {
		return nil
	}
	return m.Get(field).Message().Interface()
}

// loggedAs returns the field of LoggedEvent that holds events of a type, nil when none does.
func loggedAs(name protoreflect.FullName) protoreflect.FieldDescriptor {
	fields := loggedKinds().Fields()
	for i := range fields.Len() {
		if fields.Get(i).Message().FullName() == name {
			return fields.Get(i)
		}
	}
	return nil
}

func loggedKinds() protoreflect.OneofDescriptor {
	return (*LoggedEvent)(nil).ProtoReflect().Descriptor().Oneofs().ByName("event")
}
