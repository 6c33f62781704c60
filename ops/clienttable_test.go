package ops

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/messages"
)

// Swap and Take answer through a server as in place, and so does an operation in a Write that wants what its key held.
func TestSwapAndTakeOverTheWire(t *testing.T) {
	h, c := serving(t)
	log := func(table TableAccess, name string) string {
		var b strings.Builder
		say := func(what string, previous []byte, found bool, err error) {
			fmt.Fprintf(&b, "%s: %q, %v, %v, %v\n", what, previous, found, err, errors.Is(err, messages.ErrInvalid))
		}
		for _, key := range []string{"new", "new", "", "absent"} {
			previous, found, err := table.Swap(t.Context(), []byte(key), []byte("value of "+key))
			say("swap "+key, previous, found, err)
		}
		for _, key := range []string{"new", "new", ""} {
			previous, found, err := table.Take(t.Context(), []byte(key))
			say("take "+key, previous, found, err)
		}
		return strings.ReplaceAll(b.String(), name, "TABLE")
	}
	want, got := log(h.Table("fruit"), "fruit"), log(c.Table("other"), "other")
	if want != got || !strings.Contains(got, `swap new: "value of new", true, <nil>`) || !strings.Contains(got, `take new: "", false, <nil>`) {
		t.Errorf("in place:\n%s\nthrough the server:\n%s", want, got)
	}
	previousOf := &messages.Write{Ops: []*messages.Op{
		{Op: &messages.Op_Put{Put: &messages.Put{Key: []byte("absent"), Value: []byte("x"), WantPrevious: true}}},
		{Op: &messages.Op_Delete{Delete: &messages.Delete{Key: []byte("none"), WantPrevious: true}}},
	}}
	committed, err := c.service.Write(t.Context(), &messages.WriteRequest{Table: "other", Write: previousOf})
	if p := committed.GetPrevious(); err != nil || len(p) != 2 || string(p[0].GetValue()) != "value of absent" || p[1].GetFound() {
		t.Errorf("write answers %v, %v", committed, err)
	}
}
