package main

import (
	"context"
	"io"
)

// interruptible reads what another reader has, until ctx ends: a read of standard input, when that is a pipe which
// nobody writes to, cannot be ended. It is left behind on its goroutine, which ends with the process or the input.
type interruptible struct {
	ctx    context.Context
	chunks chan chunk
	rest   chunk
}

type chunk struct {
	data []byte
	err  error // after data
}

const chunkBytes = 64 << 10

func newInterruptible(ctx context.Context, r io.Reader) *interruptible {
	i := &interruptible{ctx: ctx, chunks: make(chan chunk)}
	go func() {
		// While one chunk is in the reader's hands the other is filled.
		for buffers := [2][]byte{make([]byte, chunkBytes), make([]byte, chunkBytes)}; ; buffers[0], buffers[1] = buffers[1], buffers[0] {
			n, err := r.Read(buffers[0])
			select {
			case i.chunks <- chunk{buffers[0][:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return i
}

// Read implements io.Reader. Its error is the context's cause when that has ended.
func (i *interruptible) Read(p []byte) (int, error) {
	for len(i.rest.data) == 0 && i.rest.err == nil {
		select {
		case i.rest = <-i.chunks:
		case <-i.ctx.Done():
			i.rest.err = context.Cause(i.ctx)
		}
	}
	if len(i.rest.data) == 0 {
		return 0, i.rest.err
	}
	n := copy(p, i.rest.data)
	i.rest.data = i.rest.data[n:]
	return n, nil
}
