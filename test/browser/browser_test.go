// Package browser drives the dashboard of a server that runs, in a Chromium without a window. It is a module of its own, since it
// needs more than Go: a Chromium, which GABION_CHROMIUM may name, and the script of axe-core, which GABION_AXE names. With
// GABION_SCREENSHOTS it leaves a picture of every page in that directory.
package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/gabiondb/gabion/ops"
)

// patience is how long a page may take to show something.
const patience = 30 * time.Second

// browser is a page in a Chromium, and what it complained about.
type browser struct {
	*testing.T
	ctx  context.Context
	base string

	mu         sync.Mutex
	complaints []string
}

// newBrowser opens a page at the root of a server.
func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	path := os.Getenv("GABION_CHROMIUM")
	if path == "" {
		path = "chromium"
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true))
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	// It does not know every event of every Chromium, which is no fault of the page.
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(cancel)
	b := &browser{T: t, ctx: ctx, base: base}
	chromedp.ListenTarget(ctx, b.listen)
	b.run(chromedp.EmulateViewport(1280, 900))
	return b
}

// listen notes what goes wrong in the page: exceptions, console errors, and what the policy refuses.
func (b *browser) listen(event any) {
	complain := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complaints = append(b.complaints, fmt.Sprintf(format, args...))
	}
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		complain("exception: %s", e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			complain("console: %s %v", e.Type, e.Args)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || strings.Contains(e.Entry.Text, "Content Security Policy") {
			complain("log: %s %s", e.Entry.Text, e.Entry.URL)
		}
	}
}

// quiet wants no complaint since the last call, but those that allowed says are none.
func (b *browser) quiet(where string, allowed ...string) {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
complaints:
	for _, c := range b.complaints {
		for _, a := range allowed {
			if strings.Contains(c, a) {
				continue complaints
			}
		}
		b.Errorf("%s: %s", where, c)
	}
	b.complaints = nil
}

// run carries actions out, within patience.
func (b *browser) run(actions ...chromedp.Action) {
	b.Helper()
	// The first run starts the browser, whose life is that of the context given to it.
	if chromedp.FromContext(b.ctx).Browser == nil {
		if err := chromedp.Run(b.ctx); err != nil {
			b.Fatalf("start chromium: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.Fatalf("%v; the page says\n%s", err, b.text("body"))
	}
}

// text is what an element shows, "" where there is none.
func (b *browser) text(selector string) string {
	var text string
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_ = chromedp.Run(ctx, chromedp.Evaluate(fmt.Sprintf(`document.querySelector(%q)?.innerText || ""`, selector), &text))
	return text
}

// open goes to a page, and waits until its stream of events is there.
func (b *browser) open(path string) {
	b.Helper()
	b.run(chromedp.Navigate(b.base+path), chromedp.WaitVisible("#main"))
	if b.is(`!['login', 'problem'].includes(document.body.dataset.page)`) {
		b.await("the stream of events", `document.getElementById('live').textContent === 'live'`)
	}
}

// await waits until an expression is true in the page.
func (b *browser) await(what, expression string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(0))); err != nil {
		b.Fatalf("%s: %v; the page says\n%s", what, err, b.text("body"))
	}
}

// server is a gabion serve.
type server struct {
	base, dir string
	client    *ops.Client
}

const token = "0123456789abcdef0123456789abcdef"

// serve builds the command, has prepare make the directory, and serves it.
func serve(t *testing.T, tables string, prepare func(gabion, dir string), flags ...string) *server {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "gabion")
	if out, err := exec.Command("go", "-C", "../..", "build", "-o", bin, "./cmd/gabion").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	// A short path: a socket's may have 104 bytes.
	dir, err := os.MkdirTemp("", "gabion-browser-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{dir: filepath.Join(dir, "data")}
	if prepare != nil {
		prepare(bin, s.dir)
	}
	tokenFile := filepath.Join(dir, "token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr output
	cmd := exec.Command(bin, append([]string{"serve", "--dir", s.dir, "--tables", tables, "--http", "127.0.0.1:0", "--http-admin-token-file", tokenFile}, flags...)...)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve: %v\n%s", err, stderr.String())
		}
		if t.Failed() {
			t.Log(stderr.String())
		}
	})
	for deadline := time.Now().Add(patience); ; {
		log := stderr.String()
		if _, rest, ok := strings.Cut(log, "http=http://"); ok && strings.Contains(log, "msg=ready") {
			s.base = "http://" + strings.Fields(rest)[0]
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server is not ready:\n%s", log)
		}
	}
	if s.client, err = ops.Dial(t.Context(), s.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	return s
}

// output is what a process has printed so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// signIn gives the token.
func (b *browser) signIn() {
	b.Helper()
	b.open("")
	b.run(chromedp.SendKeys("input[name=token]", token), chromedp.Submit("form.login"), chromedp.WaitVisible("#verdict"))
}

// looks are how a page is looked at.
var looks = []struct {
	name          string
	scheme        string
	width, height int64
}{
	{"light-wide", "light", 1280, 900}, {"dark-wide", "dark", 1280, 900}, {"light-narrow", "light", 390, 844}, {"dark-narrow", "dark", 390, 844},
}

// inspect looks at the page that is open, in each way: what is wrong with it is an error.
func (b *browser) inspect(name string) {
	b.Helper()
	for _, look := range looks {
		b.run(chromedp.EmulateViewport(look.width, look.height),
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}}))
		b.await("charts drawn again", `[...document.querySelectorAll('[data-chart]')].every(c => c.children.length > 0)`)
		if wide := b.number(`document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
			b.Errorf("%s, %s: the page is %v px wider than the window", name, look.name, wide)
		}
		b.audit(name + ", " + look.name)
		b.picture(name + "-" + look.name)
		b.quiet(name + ", " + look.name)
	}
	b.run(chromedp.EmulateViewport(1280, 900))
}

func (b *browser) number(expression string) float64 {
	b.Helper()
	var n float64
	b.run(chromedp.Evaluate(expression, &n))
	return n
}

// audit has axe-core look for what keeps people from using the page.
func (b *browser) audit(where string) {
	b.Helper()
	script, err := os.ReadFile(os.Getenv("GABION_AXE"))
	if err != nil {
		b.Fatalf("GABION_AXE names no axe.min.js: %v", err)
	}
	var violations string
	b.run(chromedp.Evaluate(string(script)+";0", nil),
		chromedp.Evaluate(`axe.run(document, {resultTypes: ['violations']}).then(r => JSON.stringify(r.violations.filter(
			v => v.impact === 'serious' || v.impact === 'critical' || v.impact === 'moderate').map(v => ({id: v.id, impact: v.impact, nodes: v.nodes.map(n => n.html + ' ' + n.failureSummary)}))))`,
			&violations, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	var found []struct {
		ID, Impact string
		Nodes      []string
	}
	if err := json.Unmarshal([]byte(violations), &found); err != nil {
		b.Fatalf("axe: %v", err)
	}
	for _, v := range found {
		b.Errorf("%s: axe finds %s (%s): %s", where, v.ID, v.Impact, strings.Join(v.Nodes, "\n  "))
	}
}

// picture leaves one of the page, where somebody wants any.
func (b *browser) picture(name string) {
	b.Helper()
	dir := os.Getenv("GABION_SCREENSHOTS")
	if dir == "" {
		return
	}
	var data []byte
	b.run(chromedp.FullScreenshot(&data, 100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644); err != nil {
		b.Fatal(err)
	}
}
