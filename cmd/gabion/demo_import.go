package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// dpkgStatus is what the demo imports where it exists: the packages of a Debian system.
const dpkgStatus = "/var/lib/dpkg/status"

// bundled is imported elsewhere.
//
//go:embed demo_input.deb822
var bundled []byte

// imported says what an import did.
type imported struct {
	Input      string        `json:"input"`
	Paragraphs int           `json:"paragraphs"`
	Rows       int64         `json:"rows"`
	Took       time.Duration `json:"took_ns"`
}

// openInput opens the file named, or what there is when none is.
func openInput(path string) (io.ReadCloser, string, error) {
	if path == "" {
		f, err := os.Open(dpkgStatus)
		if err == nil {
			return f, dpkgStatus, nil
		}
		return io.NopCloser(bytes.NewReader(bundled)), "the bundled example", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, "", messages.WithHint(fmt.Errorf("open input: %w", err), "leave --input away for "+dpkgStatus)
	}
	return f, path, nil
}

// importAll writes every paragraph of the input, and what is derived from it, through an actor of our own.
func (d *demo) importAll(ctx context.Context) error {
	seq, err := d.lastMessage(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	report := imported{Input: d.sourceName}
	w := startWriting(d.system, d.gabion)
	defer w.stop()
	channels := make(map[string]int)
	for source := newParagraphs(d.source); ; report.Paragraphs++ {
		p, err := source.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && p.fields["package"] == "" {
			err = fmt.Errorf("line %d: paragraph has no Package field", p.line)
		}
		if err != nil {
			return messages.WithHint(fmt.Errorf("read %s: %w", d.sourceName, err),
				"the input is a file in Debian's control format, like "+dpkgStatus)
		}
		seq++
		for _, r := range rowsOf(p, seq) {
			if err := w.put(ctx, r); err != nil {
				return err
			}
			if r.table == channelHistory {
				channels[strings.SplitN(r.key, "/", 2)[0]]++
			}
		}
	}
	for channel, n := range channels {
		if err := w.put(ctx, row{agentChannels, channel, document("imported", strconv.Itoa(n))}); err != nil {
			return err
		}
	}
	if err := w.put(ctx, row{agentcomConfig, inputKey, []byte(d.sourceName)}); err != nil {
		return err
	}
	if err := w.finish(ctx); err != nil {
		return err
	}
	report.Rows, report.Took = w.rows.Load(), time.Since(start)
	return d.tell.imported(report)
}

// lastMessage is the number of the newest message, 0 when there is none: an earlier demo may have left some.
func (d *demo) lastMessage(ctx context.Context) (int, error) {
	page, err := d.gabion.Table(messageHistory).Scan(ctx, &messages.Scan{Reverse: true, Limit: 1})
	if err != nil || len(page.GetEntries()) == 0 {
		return 0, err
	}
	number, _, _ := strings.Cut(string(page.GetEntries()[0].GetKey()), "/")
	seq, err := strconv.Atoi(number)
	if err != nil {
		return 0, fmt.Errorf("parse number of the newest message: %w", err)
	}
	return seq, nil
}
