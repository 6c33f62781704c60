package ops

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gabiondb/gabion/messages"
)

const (
	// streamBeat is how often a stream without events says that it lives: proxies cut what is silent for a minute.
	streamBeat = 15 * time.Second
	// streamProgress is how often it looks at the work that goes on.
	streamProgress = 500 * time.Millisecond
)

// events answers /v1/events by Server-Sent Events (HTML Living Standard, 9.2). Each has the number of the logged event as its
// id, its kind as its name, and the event as JSON. A client that sends the last id it has, in the header Last-Event-ID or as
// ?after=, gets all that came since, as far as the log has it; others get what is to come. A stream begins with an id alone, so that
// one which breaks before its first event is resumed as well. In between come events named Progress, without an id: all the work on
// backups that goes on.
func (h *Handler) events(w http.ResponseWriter, r *http.Request) {
	after, err := lastEvent(r, h.gabion.NewestEvent())
	if err != nil {
		h.refuse(w, r, &refused{http.StatusBadRequest, messages.Failf(messages.Code_CODE_INVALID_ARGUMENT, "%v", err).
			Advise("send the id of the last event, or leave it out")})
		return
	}
	back, no := h.rooms.streams.take(r.Context(), accessOf(r.Context()), 1)
	if no != nil {
		h.refuse(w, r, &refused{http.StatusTooManyRequests, no})
		return
	}
	defer back()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.ending, cancel)()
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx keeps answers back otherwise
	if r.Method == http.MethodHead {
		return
	}
	s := &stream{writer: w, control: http.NewResponseController(w)}
	s.write(fmt.Sprintf("id: %d\n\n", after))
	events := make(chan *messages.LoggedEvent)
	go func() {
		defer close(events)
		defer func() {
			if reason := recover(); reason != nil { // nobody else guards this goroutine; the stream ends
				h.logger.Error("stream of events panicked", "reason", fmt.Sprint(reason), "stack", string(debug.Stack()))
			}
		}()
		for event, err := range h.gabion.FollowEvents(ctx, &messages.ListEvents{After: after}) {
			if err != nil {
				if ctx.Err() == nil {
					h.logger.Warn("event log cannot be read: the stream has what is to come", "error", err)
				}
				continue
			}
			select {
			case events <- event:
			case <-ctx.Done():
				return
			}
		}
	}()
	beat, look := time.NewTicker(streamBeat), time.NewTicker(streamProgress)
	defer beat.Stop()
	defer look.Stop()
	for last := ""; s.err == nil; {
		select {
		case event, ok := <-events:
			if !ok {
				return
			}
			s.event(event)
		case <-beat.C:
			s.write(": beat\n\n")
		case <-look.C:
			if now := progressJSON(h.gabion.Progress()); now != last {
				s.write("event: Progress\ndata: " + now + "\n\n")
				last = now
			}
		}
	}
	cancel()
	for range events { // until the follower is gone
	}
}

// lastEvent is the number of the last event that the client has, the newest where it does not say. One of the future is another
// directory's, as for FollowEvents.
func lastEvent(r *http.Request, newest uint64) (uint64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after")
	}
	if text == "" {
		return newest, nil
	}
	after, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("last event id is %q, not a number", text)
	}
	return min(after, newest), nil
}

// stream is one answer. Its first error ends it.
type stream struct {
	writer  http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (s *stream) write(text string) {
	if s.err != nil {
		return
	}
	if _, s.err = s.writer.Write([]byte(text)); s.err == nil {
		s.err = s.control.Flush()
	}
}

func (s *stream) event(e *messages.LoggedEvent) {
	data, err := protojson.Marshal(e)
	if err != nil {
		return // an event that cannot be told is left out, as one of an unknown kind
	}
	s.write(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.GetSeq(), kindOf(e), data))
}

// kindOf is the name of an event's message.
func kindOf(e *messages.LoggedEvent) string {
	if m := e.Message(); m != nil {
		return string(m.ProtoReflect().Descriptor().Name())
	}
	return "Unknown"
}

// progressJSON is a list of Progress as JSON.
func progressJSON(all []*messages.Progress) string {
	text := "["
	for i, p := range all {
		if i > 0 {
			text += ","
		}
		data, err := protojson.Marshal(p)
		if err != nil {
			return "[]"
		}
		text += string(data)
	}
	return text + "]"
}
