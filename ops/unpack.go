package ops

import (
	"compress/gzip"
	"io"

	"connectrpc.com/connect"
)

// unpacker unpacks gzip up to a limit. Connect's own stops to keep what comes after it, but goes on unpacking.
type unpacker struct {
	gzip.Reader
	limit, read int64
}

// unpacking has a procedure's requests unpacked up to a limit.
func unpacking(limit int64) connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &unpacker{limit: limit} },
		func() connect.Compressor { return gzip.NewWriter(io.Discard) })
}

// Read implements io.Reader.
func (u *unpacker) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if u.read += int64(n); u.read > u.limit {
		return n, tooLarge("unpacks to", u.limit)
	}
	return n, err
}

// Reset implements connect.Decompressor.
func (u *unpacker) Reset(r io.Reader) error {
	u.read = 0
	return u.Reader.Reset(r)
}
