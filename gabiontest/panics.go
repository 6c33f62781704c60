package gabiontest

import (
	"path"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// panics is the middleware that panics on demand.
type panics struct {
	mu    sync.Mutex
	armed []*trap
}

// trap is one panic to come.
type trap struct {
	owner string
	match func(proto.Message) bool
}

// bang is the message of PanicOwner.
type bang struct{}

func (p *panics) receive(next actor.ReceiverFunc) actor.ReceiverFunc {
	return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
		if _, ok := envelope.Message.(bang); ok {
			panic("PanicOwner")
		}
		if m, ok := envelope.Message.(proto.Message); ok && ours(m) && p.spring(path.Base(c.Self().GetId()), m) {
			panic("PanicOn")
		}
		next(c, envelope)
	}
}

// spring takes the first trap that the message steps on.
func (p *panics) spring(owner string, m proto.Message) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, trap := range p.armed {
		if trap.owner == owner && trap.match(m) {
			p.armed = append(p.armed[:i:i], p.armed[i+1:]...)
			return true
		}
	}
	return false
}

func (p *panics) arm(t *trap) (disarm func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = append(p.armed, t)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i, armed := range p.armed {
			if armed == t {
				p.armed = append(p.armed[:i:i], p.armed[i+1:]...)
				return
			}
		}
	}
}

// PanicOn makes a table's owner panic, once, on the next message for which match returns true; nil means any
// message of package messages. That message is answered INTERNAL and not carried out; what is queued behind it
// is received by the owner after its restart. disarm takes it back. More than 10 panics of one owner within
// 10 s make Gabion close its table and open it again. match must not call the Kit.
func (k *Kit) PanicOn(table string, match func(message proto.Message) bool) (disarm func()) {
	if match == nil {
		match = func(proto.Message) bool { return true }
	}
	return k.panics.arm(&trap{table, match})
}

// PanicOwner makes a table's owner panic on a message of the Kit's own, behind all that was sent to it before,
// and returns when it has: whatever is sent afterwards is received by the restarted owner.
func (k *Kit) PanicOwner(table string) {
	k.helper()
	answer, err := k.system.Root.RequestFuture(k.Gabion().PID(table), bang{}, patience).Result()
	failure, ok := answer.(*messages.Failure)
	if ok && failure.GetCode() == messages.Code_CODE_NOT_FOUND {
		k.fail("panic owner: no table %q", table)
	}
	if !ok || failure.GetCode() != messages.Code_CODE_INTERNAL {
		k.fail("panic owner of table %q: %v, %v", table, answer, err)
	}
}
