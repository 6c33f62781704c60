package ops

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// ClientTable is a handle on one table of a server. Its methods are those of actors.Table.
type ClientTable struct {
	client *Client
	name   string
	backup *messages.FromBackup // read in place of the table; nil for the table
}

// Table returns a handle on a table. One that is not served gives a handle whose calls fail with
// messages.ErrNotFound. Concurrent calls are not ordered.
func (c *Client) Table(name string) *ClientTable { return &ClientTable{client: c, name: name} }

// Put stores value under key and returns the table's seq, after the fsync.
func (t *ClientTable) Put(ctx context.Context, key, value []byte) (seq uint64, err error) {
	m := &messages.PutRequest{Table: t.name, Put: &messages.Put{Key: key, Value: value}}
	return write(ctx, t.client.service.Put, m)
}

// Delete removes key. An absent key is not an error.
func (t *ClientTable) Delete(ctx context.Context, key []byte) (seq uint64, err error) {
	m := &messages.DeleteRequest{Table: t.name, Delete: &messages.Delete{Key: key}}
	return write(ctx, t.client.service.Delete, m)
}

// Swap stores value under key and returns what key held before; found is false when it held nothing.
func (t *ClientTable) Swap(ctx context.Context, key, value []byte) (previous []byte, found bool, err error) {
	m := &messages.PutRequest{Table: t.name, Put: &messages.Put{Key: key, Value: value, WantPrevious: true}}
	return exchange(ctx, t.client.service.Put, m)
}

// Take removes key and returns what it held; found is false when it held nothing.
func (t *ClientTable) Take(ctx context.Context, key []byte) (previous []byte, found bool, err error) {
	m := &messages.DeleteRequest{Table: t.name, Delete: &messages.Delete{Key: key, WantPrevious: true}}
	return exchange(ctx, t.client.service.Delete, m)
}

// DeleteRange removes every key in [start, end).
func (t *ClientTable) DeleteRange(ctx context.Context, start, end []byte) (seq uint64, err error) {
	m := &messages.DeleteRangeRequest{Table: t.name, DeleteRange: &messages.DeleteRange{Start: start, End: end}}
	return write(ctx, t.client.service.DeleteRange, m)
}

// Write carries out all ops of m or none. When a condition does not hold the error matches
// messages.ErrConditionFailed.
func (t *ClientTable) Write(ctx context.Context, m *messages.Write) (seq uint64, err error) {
	return write(ctx, t.client.service.Write, &messages.WriteRequest{Table: t.name, Write: m})
}

func write[R proto.Message](ctx context.Context, call func(context.Context, R) (*messages.Committed, error), m R) (uint64, error) {
	committed, err := commit(ctx, call, m)
	return committed.GetSeq(), err
}

func exchange[R proto.Message](ctx context.Context, call func(context.Context, R) (*messages.Committed, error), m R) ([]byte, bool, error) {
	committed, err := commit(ctx, call, m)
	if err == nil && len(committed.GetPrevious()) == 0 {
		err = messages.WithHint(fmt.Errorf("the server told nothing of what the key held; it was written: %w", messages.ErrInternal),
			"upgrade the server: restart it with the version of this client")
	}
	if err != nil {
		return nil, false, err
	}
	previous := committed.GetPrevious()[0]
	return previous.GetValue(), previous.GetFound(), nil
}

func commit[R proto.Message](ctx context.Context, call func(context.Context, R) (*messages.Committed, error), m R) (*messages.Committed, error) {
	if err := checkSize(m); err != nil {
		return nil, err
	}
	committed, err := call(ctx, m)
	return committed, fromConnect(ctx, err, true)
}

// Get returns the value of key. A key that is absent gives an error that matches messages.ErrNotFound.
func (t *ClientTable) Get(ctx context.Context, key []byte) ([]byte, error) {
	value, err := t.client.service.Get(ctx, &messages.GetRequest{Table: t.name, Get: &messages.Get{Key: key}, Backup: t.backup})
	switch {
	case err != nil:
		return nil, fromConnect(ctx, err, false)
	case !value.GetFound():
		return nil, fmt.Errorf("get %q: %w", key, messages.ErrNotFound)
	}
	return value.GetValue(), nil
}

// Scan returns one page. Continue with its Next as the start, or the end when reverse.
func (t *ClientTable) Scan(ctx context.Context, m *messages.Scan) (*messages.Page, error) {
	page, err := t.client.service.Scan(ctx, &messages.ScanRequest{Table: t.name, Scan: m, Backup: t.backup})
	return page, fromConnect(ctx, err, false)
}

// Walk calls each for every entry of m, whose limit is ignored, as of one instant. A nil m is the whole table. It
// ends at each's first error, which it returns.
func (t *ClientTable) Walk(ctx context.Context, m *messages.Scan, each func(key, value []byte) error) error {
	// A walk that is left by a panic of each must not hold the server's snapshot.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := t.client.service.Walk(ctx, &messages.WalkRequest{Table: t.name, Scan: m, Backup: t.backup})
	return receive(ctx, stream, err, func(page *messages.Page) error {
		for _, entry := range page.GetEntries() {
			if err := each(entry.GetKey(), entry.GetValue()); err != nil {
				return err
			}
		}
		return nil
	})
}
