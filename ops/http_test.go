package ops

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/messages"
)

func putHead(length int) string {
	return fmt.Sprintf("POST /gabion.v1.GabionService/Put HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", length)
}

func writeRaw(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// waitFor waits until another goroutine has come to where done is true.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for late := time.Now().Add(10 * time.Second); !done(); runtime.Gosched() {
		if time.Now().After(late) {
			t.Fatal("it did not come to that")
		}
	}
}

func connectRaw(t *testing.T, h *host) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(h.dir, "gabion.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// answer reads one answer and its body.
func answer(t *testing.T, conn net.Conn) (status int, body string) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// stillServes is what every bad client must leave as it was.
func stillServes(t *testing.T, h *host) {
	t.Helper()
	if _, err := dial(t, h.dir).Table("fruit").Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A client that stops in the middle of its request is answered and let go; the others do not wait for it.
func TestHalfWrittenRequest(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, quick)
	conn := connectRaw(t, h)
	writeRaw(t, conn, putHead(1000)+`{"table":"fru`)
	stillServes(t, h)
	status, body := answer(t, conn)
	if status != http.StatusGatewayTimeout || !strings.Contains(body, "the request stopped after 13 B: nothing came for 200ms") {
		t.Errorf("answer is %d %s", status, body)
	}
	waitFor(t, func() bool { return h.socket.requests.Load() == 0 })
}

// So is one that stops in the middle of the head.
func TestHalfWrittenHead(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, quick)
	conn := connectRaw(t, h)
	writeRaw(t, conn, "POST /gabion.v1.GabionService/Put HTT")
	stillServes(t, h)
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the connection does not end: %v", err)
	}
}

// A request that goes on slowly is not one that stops.
func TestSlowRequest(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, quick)
	conn := connectRaw(t, h)
	text := `{"table":"fruit","put":{"key":"aw==","value":"dg=="}}`
	writeRaw(t, conn, putHead(len(text)))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, c := range text {
		writeRaw(t, conn, string(c))
		<-tick.C
	}
	if status, body := answer(t, conn); status != http.StatusOK || body != `{"seq":"1"}` {
		t.Errorf("answer is %d %s", status, body)
	}
}

func TestHugeHead(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, quick)
	conn := connectRaw(t, h)
	go func() {
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 1<<20)) // it may be cut off
	}()
	if status, _ := answer(t, conn); status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status is %d", status)
	}
	stillServes(t, h)
}

// A request that is too large is refused cleanly, whether it says its size or not: who writes all of it before
// reading gets the answer.
func TestOversizeRequest(t *testing.T) {
	// On a busy machine the test itself may stop for longer than quick allows.
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, bounds{request: 1 << 20, header: headerTimeout, stall: stallTimeout})
	for name, request := range map[string]string{
		"declared": putHead(3<<20) + strings.Repeat("x", 3<<20),
		"chunked": "POST /gabion.v1.GabionService/Put HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
			"Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", 1<<10, strings.Repeat("x", 1<<10)), 3<<10) + "0\r\n\r\n",
	} {
		conn := connectRaw(t, h)
		writeRaw(t, conn, request)
		status, body := answer(t, conn)
		if status != http.StatusBadRequest || !strings.Contains(body, "request has more than 1048576 B") || !strings.Contains(body, "split the Write") {
			t.Errorf("%s: answer is %d %.300s", name, status, body)
		}
		stillServes(t, h)
	}
}

// A small request that unpacks to more than a request may hold is refused, and one that unpacks to less is not.
func TestBomb(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, bounds{request: 1 << 20, header: headerTimeout, stall: stallTimeout})
	for size, want := range map[int]int{1 << 10: http.StatusOK, 1 << 20: http.StatusBadRequest} {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, err := io.WriteString(w, `{"table":"fruit","put":{"key":"aw==","value":"`+strings.Repeat("A", size)+`"}}`)
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		conn := connectRaw(t, h)
		writeRaw(t, conn, strings.Replace(putHead(packed.Len()), "\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n", 1)+packed.String())
		if status, body := answer(t, conn); status != want || strings.Contains(body, "request unpacks to more than 1048576 B") != (want != http.StatusOK) {
			t.Errorf("%d B in %d: answer is %d %.300s", size, packed.Len(), status, body)
		}
	}
}

// A client that does not take what it asked for does not keep a table from closing.
func TestWalkIsGivenUp(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, quick)
	value := make([]byte, 1<<20)
	for i := range 8 {
		if _, err := h.Table("fruit").Put(t.Context(), []byte{byte(i)}, value); err != nil {
			t.Fatal(err)
		}
	}
	conn := connectRaw(t, h)
	body := "\x00\x00\x00\x00\x11" + `{"table":"fruit"}`
	writeRaw(t, conn, fmt.Sprintf("POST /gabion.v1.GabionService/Walk HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+json\r\n"+
		"Content-Length: %d\r\n\r\n%s", len(body), body))
	if line, err := bufio.NewReaderSize(conn, 16).ReadString(' '); err != nil || line != "HTTP/1.1 " {
		t.Fatalf("answer begins with %q, %v", line, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := dial(t, h.dir).CloseTable(ctx, "fruit"); err != nil {
		t.Errorf("close: %v", err)
	}
	waitFor(t, func() bool { return h.socket.requests.Load() == 0 })
}

// A Write of as much as a Write may hold passes, in both codecs; one byte more is refused with the limit.
func TestLargestWrite(t *testing.T) {
	h, c := serving(t)
	m := &messages.Write{}
	for i := range 4 {
		m.Ops = append(m.Ops, &messages.Op{Op: &messages.Op_Put{Put: &messages.Put{
			Key: []byte{byte(i)}, Value: make([]byte, messages.MaxValue-1)}}})
	}
	if seq, err := c.Table("fruit").Write(t.Context(), m); err != nil || seq != 4 {
		t.Fatalf("write of 64 MiB: seq %d, %v", seq, err)
	}
	var text strings.Builder
	text.WriteString(`{"table":"fruit","write":{"ops":[`)
	for i := range 4 {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(`{"put":{"key":"aw==","value":"` + strings.Repeat("A", (messages.MaxValue-1)/3*4-4) + `"}}`)
	}
	// A condition that does not hold spares the disk: by then the request has passed every limit.
	text.WriteString(`],"conditions":[{"key":"enk=","equals":""}]}}`)
	conn := connectRaw(t, h)
	writeRaw(t, conn, strings.Replace(putHead(text.Len()), "/Put", "/Write", 1)+text.String())
	if status, body := answer(t, conn); status != http.StatusBadRequest || !strings.Contains(body, "failed_precondition") {
		t.Errorf("as JSON: answer is %d %.300s", status, body)
	}
	m.Ops[0].GetPut().Key = []byte("ab")
	_, err := c.Table("fruit").Write(t.Context(), m)
	if err == nil || !strings.Contains(err.Error(), "write has 67108865 B, maximum is 67108864 B") {
		t.Errorf("one byte more: %v", err)
	}
}

// What waits for something else than its client is not given up, however long it takes.
func TestQuietStream(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, quick)
	c := dial(t, h.dir)
	begun := make(chan struct{})
	got := make(chan error, 1)
	go func() {
		for e, err := range c.FollowEvents(t.Context(), nil) {
			if err != nil {
				got <- err
				return
			}
			if e.GetTableStateChanged().GetTo() == messages.TableState_TABLE_STATE_CLOSED {
				close(begun)
			} else if e.GetTableStateChanged().GetFrom() == messages.TableState_TABLE_STATE_CLOSED {
				got <- nil
				return
			}
		}
	}()
	if err := h.CloseTable(t.Context(), "fruit"); err != nil {
		t.Fatal(err)
	}
	<-begun
	<-time.After(3 * quick.stall) // the deadline lies on a socket: it knows real time alone
	if err := h.OpenTable(t.Context(), "fruit"); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("events: %v", err)
	}
}

// A connection that was quiet between two requests serves the second, also when that one asks first.
func TestQuietConnection(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, quick)
	conn := connectRaw(t, h)
	text := `{"table":"fruit","put":{"key":"aw==","value":"dg=="}}`
	writeRaw(t, conn, putHead(len(text))+text)
	if status, body := answer(t, conn); status != http.StatusOK {
		t.Fatalf("answer is %d %s", status, body)
	}
	<-time.After(2 * quick.stall)
	writeRaw(t, conn, strings.Replace(putHead(len(text)), "\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n", 1))
	if status, _ := answer(t, conn); status != http.StatusContinue {
		t.Fatalf("status is %d", status)
	}
	writeRaw(t, conn, text)
	if status, body := answer(t, conn); status != http.StatusOK || body != `{"seq":"2"}` {
		t.Errorf("answer is %d %s", status, body)
	}
}
