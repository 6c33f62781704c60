package gabiontest

import (
	"io"
	"sync"
)

// output passes log lines to a test until the test has ended: the testing package panics on later ones.
type output struct {
	mu     sync.Mutex
	to     io.Writer
	closed bool
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return len(p), nil
	}
	return o.to.Write(p)
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}
