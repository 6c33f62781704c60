package store

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// The fingerprint is part of the format: other versions must compute the same.
func TestFingerprintIsAsDocumented(t *testing.T) {
	var f Fingerprinter
	for _, row := range [][2]string{{"key", "value"}, {"k", ""}, {"\x00", string(make([]byte, 2<<20))}, {"key", "value"}} {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(row[0])))
		b = append(b, row[0]...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(row[1])))
		b = append(b, row[1]...)
		if got, want := f.Row([]byte(row[0]), []byte(row[1])), xxhash.Sum64(b); got != want {
			t.Errorf("Row(%q, %d B) = %x, want %x", row[0], len(row[1]), got, want)
		}
	}
	const golden = 0x986db34531894831
	if got := f.Row([]byte("key"), []byte("value")); got != golden {
		t.Errorf("Row(key, value) = %#x, want %#x", got, uint64(golden))
	}
}

func TestFingerprintTellsWhereAKeyEnds(t *testing.T) {
	var f Fingerprinter
	if f.Row([]byte("ab"), []byte("c")) == f.Row([]byte("a"), []byte("bc")) {
		t.Error("ab=c and a=bc look the same")
	}
}

func TestRecordThatCannotBeReadIsDataLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	garbage := make([]byte, 64)
	for i := range garbage {
		garbage[i] = byte(rng.Uint32()) | 0x80
	}
	if _, err := decodeRecord(garbage); !errors.Is(err, messages.ErrDataLoss) {
		t.Errorf("garbage: %v", err)
	}
	newer, err := proto.Marshal(&messages.TableRecord{FormatVersion: FormatVersion + 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = decodeRecord(newer)
	if !errors.Is(err, ErrNewer) || errors.Is(err, messages.ErrDataLoss) {
		t.Errorf("newer: %v", err)
	}
	checkHint(t, err)
}
