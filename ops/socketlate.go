package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

const (
	// socketRetry is the time between two tries of a server to open its socket.
	socketRetry = 5 * time.Second
	// socketPatience is how long the start of a server waits for its first try.
	socketPatience = 2 * time.Second
)

// errTaken: something that is not Gabion's has the place of the socket. A person must decide.
var errTaken = errors.New("place of the socket is taken")

// lateSocket is the socket of a server. The tables do not need it: where the disk does not let it be made, or does not
// answer, the server serves without, says so, and tries again until the socket is there.
type lateSocket struct {
	gabion *actors.Gabion
	logger *slog.Logger
	retry  time.Duration
	end    context.CancelFunc
	ended  chan struct{}

	mu     sync.Mutex
	socket *Socket // nil until it is there
	fault  error   // why it is not
}

// openSocket tries to open the socket of g. It returns an error where something foreign has the socket's place, or ctx has
// ended; otherwise close must follow.
func openSocket(ctx context.Context, g *actors.Gabion, logger *slog.Logger, retry time.Duration) (*lateSocket, error) {
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	l := &lateSocket{gabion: g, logger: logger, retry: retry, end: end, ended: make(chan struct{}),
		fault: errors.New("its disk has not answered yet")}
	first := make(chan error, 1)
	go l.run(running, first)
	timer := time.NewTimer(socketPatience)
	defer timer.Stop()
	select {
	case err := <-first:
		if errors.Is(err, errTaken) {
			end()
			<-l.ended
			return nil, err
		}
	case <-timer.C:
		logger.Warn("socket is not there yet, as its disk does not answer: the tables are served without it")
	case <-ctx.Done():
		// It may have opened this instant.
		ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), endGrace)
		defer cancel()
		return nil, errors.Join(context.Cause(ctx), l.close(ended))
	}
	return l, nil
}

// run tries until the socket is there, or ctx ends.
func (l *lateSocket) run(ctx context.Context, first chan<- error) {
	defer close(l.ended)
	for tries := 0; ; tries++ {
		socket, err := ListenSocket(ctx, l.gabion, SocketOptions{Logger: l.logger})
		l.mu.Lock()
		l.socket, l.fault = socket, err
		l.mu.Unlock()
		if tries == 0 {
			first <- err
		}
		if err == nil && ctx.Err() != nil {
			_ = socket.Close(ctx) // nobody waited for a disk that hung
		}
		if err == nil || ctx.Err() != nil || tries == 0 && errors.Is(err, errTaken) {
			return
		}
		if tries == 0 {
			l.logger.Warn("socket cannot be made: the tables are served without it, and it is tried again",
				"error", err, "hints", messages.Hints(err))
		}
		select {
		case <-time.After(l.retry):
		case <-ctx.Done():
			return
		}
	}
}

// concern says in words that the socket is missing, "" while it is there.
func (l *lateSocket) concern() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		return ""
	}
	return fmt.Sprintf("commands cannot reach this server, as it has no socket: %v", l.fault)
}

// close ends the tries and closes the socket, see Socket.Close. A disk that hangs is waited for until ctx ends.
func (l *lateSocket) close(ctx context.Context) error {
	l.end()
	select {
	case <-l.ended:
	case <-ctx.Done():
		return fmt.Errorf("close socket: its disk does not answer: %w", context.Cause(ctx))
	}
	l.mu.Lock()
	socket := l.socket
	l.mu.Unlock()
	if socket == nil {
		return nil
	}
	return socket.Close(ctx)
}
