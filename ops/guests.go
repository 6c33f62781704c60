package ops

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

const (
	// mostConnections is how many connections one listener keeps.
	mostConnections = 512
	// leastConnections is how many it keeps however few descriptors the process may have.
	leastConnections = 16
)

// connectionLimit is how many connections a listener keeps, given the descriptors that the process may have. An eighth
// of them leaves the tables theirs beside two listeners. Zero descriptors means that the limit is unknown.
func connectionLimit(descriptors uint64) int {
	if descriptors == 0 || descriptors > 8*mostConnections {
		return mostConnections
	}
	return max(leastConnections, int(descriptors/8))
}

// guests is a listener that keeps a number of connections. When one more comes it closes another, first the oldest that
// has shown no token yet. So clients without a token keep out none that has a token.
type guests struct {
	net.Listener
	most int
	// known is what each connection may do from the start: admin for the socket, whose callers are its owner's.
	known access

	mu   sync.Mutex
	here map[*guest]bool
	last uint64
}

// guest is one connection.
type guest struct {
	net.Conn
	of     *guests
	number uint64 // rises with each that comes
	// who is the most that its requests were allowed, and busy is set while a request is under way. Both belong to
	// of.mu.
	who  access
	busy bool
}

func newGuests(l net.Listener, most int, known access) *guests {
	return &guests{Listener: l, most: most, known: known, here: make(map[*guest]bool)}
}

// Accept implements net.Listener.
func (g *guests) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if came := g.welcome(conn); came != nil {
			return came, nil
		}
		_ = conn.Close() // all others have better reasons to stay
	}
}

// welcome makes room for a connection, and returns nil where there is none.
func (g *guests) welcome(conn net.Conn) *guest {
	g.mu.Lock()
	var leaves *guest
	if len(g.here) >= g.most {
		if leaves = g.leastWanted(); leaves == nil {
			g.mu.Unlock()
			return nil
		}
		delete(g.here, leaves)
	}
	g.last++
	came := &guest{Conn: conn, of: g, number: g.last, who: g.known}
	g.here[came] = true
	g.mu.Unlock()
	if leaves != nil {
		_ = leaves.Conn.Close()
	}
	return came
}

// leastWanted is the connection to close for another one. A connection without a token goes before one with a token, an
// idle one before a busy one, and then the oldest. Busy readers leave only while they have more than half, busy admins
// never. The caller holds mu.
func (g *guests) leastWanted() (least *guest) {
	readers := 0
	for c := range g.here {
		if c.who == reader {
			readers++
		}
	}
	rank := func(c *guest) int {
		switch {
		case c.who == nobody && !c.busy:
			return 0
		case c.who == nobody:
			return 1
		case !c.busy:
			return 1 + int(c.who)
		case c.who == reader && readers > g.most/2:
			return 4
		}
		return 5
	}
	for c := range g.here {
		if at := rank(c); at < 5 && (least == nil || at < rank(least) || at == rank(least) && c.number < least.number) {
			least = c
		}
	}
	return least
}

// watch has a server, whose Handler is set, say which connections are busy, and its requests which they come by.
//
// The server calls a connection idle some time after its client has the answer. A client without a token counts as idle when
// its handler returns, before the end of the answer is sent: on a busy machine it would otherwise outlast those who came
// later. Over HTTP/2 other requests may be under way on the connection, so the server alone decides there.
func (g *guests) watch(server *http.Server) {
	next := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		if c, _ := r.Context().Value(guestKey{}).(*guest); c != nil && r.ProtoMajor == 1 {
			g.mu.Lock()
			defer g.mu.Unlock()
			c.busy = c.busy && c.who != nobody
		}
	})
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		if c := guestOf(conn); c != nil {
			g.mu.Lock()
			defer g.mu.Unlock()
			c.busy = state == http.StateActive
		}
	}
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, guestKey{}, guestOf(conn))
	}
}

type guestKey struct{}

// guestOf is the guest beneath a connection of a server's.
func guestOf(conn net.Conn) *guest {
	if secret, ok := conn.(*tls.Conn); ok {
		conn = secret.NetConn()
	}
	c, _ := conn.(*guest)
	return c
}

// introduce notes what a request was allowed by which a connection is known from now on.
func introduce(ctx context.Context, who access) {
	c, _ := ctx.Value(guestKey{}).(*guest)
	if c == nil {
		return
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.who = max(c.who, who)
}

// Close implements net.Conn.
func (c *guest) Close() error {
	c.of.mu.Lock()
	delete(c.of.here, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets a server end its answer before it closes: a client that still sends gets the answer, and no reset.
func (c *guest) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	return half.CloseWrite()
}
