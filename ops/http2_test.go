package ops

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// overHTTP2 is a client in a bubble of what answers within the real bounds.
func overHTTP2(t *testing.T, answer http.HandlerFunc) (*Socket, *http.Client) {
	t.Helper()
	s, dial := overPipes(t, answer)
	transport := &http.Transport{Protocols: unencryptedHTTP2(), DialContext: func(context.Context, string, string) (net.Conn, error) { return dial(), nil }}
	t.Cleanup(transport.CloseIdleConnections)
	return s, &http.Client{Transport: transport}
}

func begin(t *testing.T, client *http.Client) *http.Response {
	t.Helper()
	response, err := client.Get("http://x/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.ProtoMajor != 2 {
		t.Fatalf("answered by %s", response.Proto)
	}
	return response
}

// TestHTTP2Quiet: an answer may be silent for as long as it likes, before its first byte, between two and after the last.
func TestHTTP2Quiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := overHTTP2(t, func(w http.ResponseWriter, _ *http.Request) {
			for _, word := range []string{"one ", "two ", "three"} {
				time.Sleep(5 * stallTimeout)
				_, _ = io.WriteString(w, word)
				_ = http.NewResponseController(w).Flush()
			}
			time.Sleep(5 * stallTimeout)
		})
		if text, err := io.ReadAll(begin(t, client).Body); err != nil || string(text) != "one two three" {
			t.Errorf("%q, %v", text, err)
		}
	})
}

// TestHTTP2EndLetsAnswersThrough that come later than a client may take to take them.
func TestHTTP2EndLetsAnswersThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client := overHTTP2(t, func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(10 * endGrace) // an fsync
			_, _ = io.WriteString(w, "committed")
		})
		time.AfterFunc(endGrace, s.end)
		if text, err := io.ReadAll(begin(t, client).Body); err != nil || string(text) != "committed" {
			t.Errorf("%q, %v", text, err)
		}
	})
}

// TestHTTP2Stall: a client that does not take its answer is given up, sooner once the service ends, be the handler at it still or
// have left the rest to the server.
func TestHTTP2Stall(t *testing.T) {
	for _, ends := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var gaveUp time.Time
			over := make(chan struct{})
			s, client := overHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
				defer close(over)
				for r.Context().Err() == nil {
					if _, err := w.Write(make([]byte, 64<<10)); err != nil {
						break
					}
				}
				gaveUp = time.Now()
			})
			start, want := time.Now(), stallTimeout
			begin(t, client) // and takes nothing of it
			synctest.Wait()
			if ends {
				s.end()
				want = endGrace
			}
			<-over
			if took := gaveUp.Sub(start); took != want {
				t.Errorf("given up after %v, want %v", took, want)
			}
		})
	}
}

// TestHTTP2EndBesideAnswers: the end of the service touches no answer that has left its handler, which ends by the same end.
func TestHTTP2EndBesideAnswers(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			var s *Socket
			var client *http.Client
			ending := make(chan struct{})
			s, client = overHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).Flush()
				select {
				case <-ending:
				case <-r.Context().Done():
				}
			})
			var all sync.WaitGroup
			for range 100 {
				response := begin(t, client)
				all.Go(func() { _, _ = io.Copy(io.Discard, response.Body) })
			}
			go close(ending)
			s.end()
			all.Wait()
		})
	}
}
