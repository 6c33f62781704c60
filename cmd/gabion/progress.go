package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/show"
)

// progress draws one line on a terminal that says how far an import, or work on a backup, is; elsewhere it draws nothing.
type progress struct {
	to    io.Writer // nil draws nothing
	total int64     // bytes of the input, 0 when that is not known
	read  int64
	drawn time.Time
	begun time.Time
}

// drawEvery is how often the line changes.
const drawEvery = 200 * time.Millisecond

// newProgress draws on stderr if that is a terminal.
func newProgress(stderr io.Writer, total int64) *progress {
	p := &progress{total: total, begun: time.Now()}
	if f, ok := stderr.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.to = stderr
		}
	}
	return p
}

// counting is r, with every byte that is read counted.
func (p *progress) counting(r io.Reader) io.Reader { return &countingReader{r, p} }

type countingReader struct {
	io.Reader
	p *progress
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.p.read += int64(n)
	return n, err
}

// show draws the line, but not more often than it can be read.
func (p *progress) show(rows int) {
	if p.to == nil || time.Since(p.drawn) < drawEvery {
		return
	}
	p.drawn = time.Now()
	fmt.Fprintf(p.to, "\r\x1b[K%s", p.line(rows, time.Since(p.begun)))
}

// line is what show draws after a time.
func (p *progress) line(rows int, took time.Duration) string {
	text := fmt.Sprintf("%d rows, %s", rows, show.Size(uint64(p.read)))
	if seconds := took.Seconds(); seconds > 0 {
		text += fmt.Sprintf(", %.0f rows/s", float64(rows)/seconds)
	}
	if p.total <= 0 {
		return text
	}
	return bar(min(1, float64(p.read)/float64(p.total))) + "  " + text
}

// showBytes is show for work on a backup, which says itself how far it is.
func (p *progress) showBytes(m *messages.Progress) {
	if p.to == nil || time.Since(p.drawn) < drawEvery {
		return
	}
	p.drawn = time.Now()
	share := 0.0
	if m.GetTotal() > 0 {
		share = min(1, float64(m.GetBytes())/float64(m.GetTotal()))
	}
	fmt.Fprintf(p.to, "\r\x1b[K%s  %s/%s, %s", bar(share), m.GetTable(), m.GetBackupId(), show.Size(m.GetBytes()))
}

// say draws what goes on.
func (p *progress) say(text string) {
	if p.to != nil {
		fmt.Fprintf(p.to, "\r\x1b[K%s", text)
	}
}

// bar draws a share of 1.
func bar(share float64) string {
	const width = 30
	full := int(share * width)
	return fmt.Sprintf("[%s%s] %3.0f%%", strings.Repeat("=", full), strings.Repeat(" ", width-full), 100*share)
}

// clear takes the line away.
func (p *progress) clear() {
	if p.to != nil {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
