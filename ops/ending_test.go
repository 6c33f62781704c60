package ops

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections a bubble's clock can wait for, as it cannot for a socket's.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if conn, ok := <-p; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error { close(p); return nil }

func (pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// overPipe is a socket in a bubble, that answers by answer within the real bounds, and a connection to it.
func overPipe(t *testing.T, answer http.HandlerFunc) (*Socket, net.Conn) {
	t.Helper()
	s, dial := overPipes(t, answer)
	return s, dial()
}

// overPipes is overPipe for any number of connections, which end with the test.
func overPipes(t *testing.T, answer http.HandlerFunc) (s *Socket, dial func() net.Conn) {
	t.Helper()
	ending, end := context.WithCancel(t.Context())
	b := bounds{request: 1 << 20, header: headerTimeout, stall: stallTimeout}
	listener := make(pipes)
	server := &http.Server{Handler: bounded(ending, b, answer), Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	s = &Socket{dir: t.TempDir(), end: end, endpoint: serve("socket", listener, server, b, slog.New(slog.DiscardHandler))}
	t.Cleanup(func() { _ = s.Close(context.Background()) }) // a test may have closed it, and looked
	return s, func() net.Conn {
		conn, served := net.Pipe()
		listener <- served
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
}

const getHead = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// The rest of a request that is too large may come slowly, as long as it goes on.
func TestSlowOversizeRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, conn := overPipe(t, func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		})
		const rest, piece = 1 << 20, 64 << 10
		writeRaw(t, conn, putHead(1<<20+rest)+strings.Repeat("x", 1<<20))
		for range rest / piece {
			time.Sleep(stallTimeout - time.Second)
			writeRaw(t, conn, strings.Repeat("x", piece))
		}
		if status, body := answer(t, conn); status != http.StatusBadRequest || !strings.Contains(body, "request has more than 1048576 B") {
			t.Errorf("answer is %d %s", status, body)
		}
	})
}

// Once the service ends, a client that does not take its answer is given endGrace, whether the answer was under way or
// comes after that.
func TestEndGrace(t *testing.T) {
	for _, late := range []time.Duration{0, endGrace / 2} {
		synctest.Test(t, func(t *testing.T) {
			over := make(chan struct{})
			s, conn := overPipe(t, func(w http.ResponseWriter, _ *http.Request) {
				defer close(over)
				if late > 0 {
					time.Sleep(time.Second + late)
				}
				_, _ = w.Write(make([]byte, 64<<10)) // nobody takes it
			})
			writeRaw(t, conn, getHead)
			time.Sleep(time.Second)
			start := time.Now()
			s.end()
			<-over
			if took := time.Since(start); took != late+endGrace {
				t.Errorf("an answer of %v after the end is given up after %v", late, took)
			}
		})
	}
}

// A stop whose time is over still lets an answer through that comes within endGrace, and waits no longer.
func TestStopLetsAnAnswerThrough(t *testing.T) {
	for takes, lost := range map[time.Duration]bool{endGrace / 4: false, time.Hour: true} {
		synctest.Test(t, func(t *testing.T) {
			s, conn := overPipe(t, func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-time.After(takes):
				case <-r.Context().Done():
				}
			})
			writeRaw(t, conn, getHead)
			synctest.Wait()
			over, cancel := context.WithCancel(t.Context())
			cancel()
			start, closed := time.Now(), make(chan error, 1)
			ended := make(chan struct{})
			close(ended)
			var server Server
			server.socket.Store(&lateSocket{socket: s, end: func() {}, ended: ended})
			go func() { closed <- server.closeFaces(over) }()
			if !lost {
				if status, _ := answer(t, conn); status != http.StatusOK {
					t.Errorf("status is %d", status)
				}
			}
			err := <-closed
			if took := time.Since(start); took > endGrace || (err != nil) != lost || lost && took != endGrace {
				t.Errorf("beside a request of %v the close took %v, %v", takes, took, err)
			}
		})
	}
}
