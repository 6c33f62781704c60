package ops

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/gabiondb/gabion/messages"
)

// fillPages gives fruit more rows of 1 MiB, each a page of a walk, than a connection holds.
func fillPages(t *testing.T, h *host) (rows int) {
	t.Helper()
	for i := range 8 {
		if _, err := h.Table("fruit").Put(t.Context(), []byte{byte(i)}, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	return 8
}

// The end of a service ends a walk that is under way, with an error that says so.
func TestEndDuringWalk(t *testing.T) {
	h, c := serving(t)
	rows, seen := fillPages(t, h), 0
	err := c.Table("fruit").Walk(t.Context(), nil, func(_, _ []byte) error {
		if seen++; seen == 1 {
			h.socket.end()
		}
		return nil
	})
	if !errors.Is(err, messages.ErrUnavailable) || !strings.Contains(err.Error(), "stopping") || seen == rows {
		t.Errorf("walk ends after %d rows: %v", seen, err)
	}
}

// A client that is closed during a walk finishes it.
func TestCloseClientDuringWalk(t *testing.T) {
	h, c := serving(t)
	rows, seen := fillPages(t, h), 0
	err := c.Table("fruit").Walk(t.Context(), nil, func(_, _ []byte) error {
		seen++
		c.Close()
		return nil
	})
	if err != nil || seen != rows {
		t.Errorf("walk ends after %d rows of %d: %v", seen, rows, err)
	}
}

// Who gives a walk up, by an error or a panic, does not wait for what is still to come, and its server learns of it.
func TestWalkGivenUpByClient(t *testing.T) {
	learned := make(chan struct{})
	f := &fakeService{major: 1, walk: func(ctx context.Context, stream *connect.ServerStream[messages.Page]) error {
		err := stream.Send(&messages.Page{Entries: []*messages.Entry{{Key: []byte("k")}}})
		<-ctx.Done()
		learned <- struct{}{}
		return err
	}}
	table := dial(t, f.serve(t)).Table("fruit")
	enough := errors.New("enough")
	if err := table.Walk(t.Context(), nil, func(_, _ []byte) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("walk: %v", err)
	}
	<-learned
	func() {
		defer func() {
			if recover() != enough {
				t.Error("the panic is lost")
			}
		}()
		_ = table.Walk(t.Context(), nil, func(_, _ []byte) error { panic(enough) })
	}()
	<-learned
}

// closedConn tells when it is closed.
type closedConn struct {
	net.Conn
	closed chan struct{}
}

func (c closedConn) Close() error {
	close(c.closed)
	return c.Conn.Close()
}

// A client that is closed holds no connection; one that is used afterwards makes a new one.
func TestCloseClient(t *testing.T) {
	_, c := serving(t)
	closed := make(chan struct{})
	connect := c.transport.DialContext
	c.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := connect(ctx, network, address)
		return closedConn{conn, closed}, err
	}
	c.Close()
	if _, err := c.ListTables(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Close()
	<-closed
}
