package store

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// The first byte of every key in the database. A user's key follows userPrefix; the table's record has
// a key of its own that no user key can collide with.
const (
	systemPrefix = 0x00
	userPrefix   = 0x01
)

var (
	recordKey = []byte{systemPrefix, 'r'}
	// userStart and userEnd bound all user keys.
	userStart = []byte{userPrefix}
	userEnd   = []byte{userPrefix + 1}
)

// userKey appends the database key of a user's key to buf.
func userKey(buf, key []byte) []byte {
	return append(append(buf, userPrefix), key...)
}

func decodeRecord(data []byte) (*messages.TableRecord, error) {
	record := new(messages.TableRecord)
	if err := proto.Unmarshal(data, record); err != nil {
		return nil, fmt.Errorf("parse table record: %w: %w", messages.ErrDataLoss, err)
	}
	if v := record.GetFormatVersion(); v > FormatVersion {
		return nil, messages.WithHint(fmt.Errorf("table record: %w: %d, this version knows %d", ErrNewer, v, FormatVersion),
			"use the version of gabion that wrote the table, or a newer one")
	}
	return record, nil
}

// Fingerprinter computes the fingerprint of rows: for each the xxhash64 of the key's length, the
// key, the value's length and the value, lengths as 4 bytes big-endian. A table's fingerprint is the sum
// over its rows, modulo 2^64, and so does not depend on their order. The zero value is ready;
// one goroutine at a time may use it.
type Fingerprinter struct {
	buf []byte
}

// Row returns one row's term of the sum.
func (f *Fingerprinter) Row(key, value []byte) uint64 {
	f.buf = binary.BigEndian.AppendUint32(f.buf[:0], uint32(len(key)))
	f.buf = append(f.buf, key...)
	f.buf = binary.BigEndian.AppendUint32(f.buf, uint32(len(value)))
	f.buf = append(f.buf, value...)
	sum := xxhash.Sum64(f.buf)
	if cap(f.buf) > 1<<20 {
		f.buf = nil
	}
	return sum
}
