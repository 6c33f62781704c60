package main

import (
	"context"
	"fmt"

	"github.com/gabiondb/gabion/messages"
)

// What happens between the runs. Here the tables are used through the typed handle, as code outside actors does.

const (
	// finished is how many tasks an agent works off before the second run; one in failing goes wrong.
	finished = 20
	failing  = 10
	// posted is how many messages come in before each later run.
	posted = 50
)

// work takes tasks from the queue and posts messages. Threads, their replies and the configuration stay as they are.
func (d *demo) work(ctx context.Context) error {
	queue := d.gabion.Table(taskQueue)
	page, err := queue.Scan(ctx, &messages.Scan{Limit: finished})
	if err != nil {
		return err
	}
	for i, task := range page.GetEntries() {
		// The task goes only if it still is what was read: no other agent took it.
		_, err := queue.Write(ctx, &messages.Write{
			Conditions: []*messages.Condition{{
				Key: task.GetKey(), Want: &messages.Condition_Equals{Equals: task.GetValue()},
			}},
			Ops: []*messages.Op{messages.DeleteOp(task.GetKey())},
		})
		if err != nil {
			return fmt.Errorf("take task: %w", err)
		}
		if i%failing == 0 {
			if _, err := d.gabion.Table(taskDeadLetter).Put(ctx, task.GetKey(), task.GetValue()); err != nil {
				return err
			}
		}
	}
	return d.post(ctx)
}

// closeOne posts messages and closes a table.
func (d *demo) closeOne(ctx context.Context) error {
	if err := d.post(ctx); err != nil {
		return err
	}
	if err := d.gabion.CloseTable(ctx, threadReplies); err != nil {
		return err
	}
	return d.tellUntil(ctx, messages.TableState_TABLE_STATE_CLOSED)
}

// openAgain opens the table and posts messages.
func (d *demo) openAgain(ctx context.Context) error {
	if err := d.gabion.OpenTable(ctx, threadReplies); err != nil {
		return err
	}
	if err := d.tellUntil(ctx, messages.TableState_TABLE_STATE_OPEN); err != nil {
		return err
	}
	if _, err := d.gabion.Table(threadReplies).Put(ctx, []byte("demo/0000"), []byte("open again")); err != nil {
		return err
	}
	return d.post(ctx)
}

// post adds messages to the history of one channel.
func (d *demo) post(ctx context.Context) error {
	seq, err := d.lastMessage(ctx)
	if err != nil {
		return err
	}
	w := startWriting(d.system, d.gabion)
	defer w.stop()
	for range posted {
		seq++
		d.number++
		text := fmt.Sprintf("From: demo\nSubject: message %d\n", d.number)
		for _, r := range []row{
			{messageHistory, fmt.Sprintf("%08d/demo", seq), []byte(text)},
			{channelHistory, fmt.Sprintf("demo/%08d", seq), document("subject", fmt.Sprintf("message %d", d.number))},
		} {
			if err := w.put(ctx, r); err != nil {
				return err
			}
		}
	}
	return w.finish(ctx)
}

// tellUntil tells events up to a table's change to state, which has happened: the event is on its way.
func (d *demo) tellUntil(ctx context.Context, state messages.TableState) error {
	for {
		select {
		case event := <-d.events:
			if err := d.tell.event(event); err != nil {
				return err
			}
			if change, ok := event.(*messages.TableStateChanged); ok && change.GetTo() == state {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
