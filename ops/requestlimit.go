package ops

import (
	"cmp"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/messagesconnect"
)

const (
	// maxRequest is the largest request, in bytes: a Write of 64 MiB passes, also as JSON, whose base64 takes a
	// third more.
	maxRequest = 2 * messages.MaxWrite
	// maxPut is the largest Put as JSON, in bytes.
	maxPut = (messages.MaxKey+messages.MaxValue)/3*4 + maxSmall
	// maxSmall is the largest request of all that carries no value, in bytes: keys, names and options fit.
	maxSmall = 64 << 10
	// maxParts is how many operations and conditions a Write may have here. An empty operation takes two bytes to send,
	// and fifty times as many to hold.
	maxParts = 1 << 20
)

// procedureLimits are the limits of the requests that carry values, by path, in bytes. All others have maxSmall.
var procedureLimits = map[string]int64{
	messagesconnect.GabionServicePutProcedure:   maxPut,
	messagesconnect.GabionServiceWriteProcedure: maxRequest,
}

// requestLimit is the most that a request to a path may hold, in bytes, as it comes and unpacked.
func (b bounds) requestLimit(path string) int64 {
	return min(b.request, cmp.Or(procedureLimits[path], maxSmall))
}

// tooLarge refuses a request that holds more than its limit.
func tooLarge(verb string, limit int64) error {
	hint := "send less at a time; a request without values may hold 64 KiB"
	if limit > maxSmall {
		hint = "split the Write: it may hold up to 64 MiB of keys and values"
	}
	return toConnect(messages.Failf(messages.Code_CODE_INVALID_ARGUMENT, "request %s more than %d B", verb, limit).Advise(hint))
}

// large is what an answer has, in bytes, that counts for itself.
const large = 16 << 10

// held is about how many bytes of memory a message of a size takes while it is read or written. Buffers double as they
// grow, and JSON is there beside its message.
func held(size int64) int64 { return 4 * size }

// heldAnswer is held for an answer, 0 for one whose request counts for both. A compressor is about 1 MiB.
func heldAnswer(m any) int64 {
	message, ok := m.(proto.Message)
	if !ok {
		return 0
	}
	size := int64(proto.Size(message))
	if size < large {
		return 0
	}
	return held(size) + 1<<20
}
