package messages

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestEveryEventCanBeLogged: what event.proto defines is an event that LoggedEvent holds, or part of the log itself.
func TestEveryEventCanBeLogged(t *testing.T) {
	theLog := []protoreflect.Name{"LoggedEvent", "ListEvents", "EventList"}
	all := File_gabion_v1_event_proto.Messages()
	for i := range all.Len() {
		d := all.Get(i)
		if slices.Contains(theLog, d.Name()) {
			continue
		}
		if loggedAs(d.FullName()) == nil {
			t.Errorf("LoggedEvent cannot hold %s", d.Name())
		}
	}
	// TableRestored is part of an answer, too, and is defined with that.
	if n := loggedKinds().Fields().Len(); n != all.Len()-len(theLog)+1 {
		t.Errorf("LoggedEvent holds %d kinds of events, event.proto defines %d", n, all.Len()-len(theLog))
	}
}

func TestLoggedMessage(t *testing.T) {
	for _, event := range []proto.Message{
		&BackupStarted{RunId: "a"}, &TableBackedUp{RunId: "b"}, &BackupComplete{RunId: "c"}, &TableStateChanged{Table: "d"},
		&BackupVerified{}, &TableRestored{Table: "e"},
	} {
		e := &LoggedEvent{Seq: 1}
		if !e.SetMessage(event) || e.Message() != event {
			t.Errorf("%T comes back as %v", event, e.Message())
		}
	}
	if e := (&LoggedEvent{}); e.SetMessage(&Put{}) || e.Message() != nil {
		t.Error("a Put counts as an event")
	}
}

func TestListEventsCheck(t *testing.T) {
	for _, m := range []*ListEvents{{}, {After: 1, Limit: 2, Since: timestamppb.Now()}} {
		if failure := m.Check(); failure != nil {
			t.Errorf("%v: %v", m, failure)
		}
	}
	failure := (&ListEvents{Since: &timestamppb.Timestamp{Nanos: -1}}).Check()
	if failure.GetCode() != Code_CODE_INVALID_ARGUMENT || !strings.Contains(failure.GetMessage(), "since") {
		t.Errorf("a since that is no time: %v", failure)
	}
}
