package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// interruptedReader ends its context in the middle, and then has nothing more to give.
type interruptedReader struct {
	io.Reader
	left   int
	cancel context.CancelFunc
}

func (r *interruptedReader) Read(p []byte) (int, error) {
	if r.left -= len(p); r.left < 0 {
		r.cancel()
	}
	return r.Reader.Read(p)
}

// TestInterruptedImport: what it says it has imported is there, nothing else is, and it goes on from the line it names.
func TestInterruptedImport(t *testing.T) {
	dir := t.TempDir() + "/d"
	if err := fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	const rows = 20_000
	for i := range rows {
		fmt.Fprintf(&lines, "{\"key\":\"k%05d\",\"value\":%q}\n", i, strings.Repeat("v", 100))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	importFrom := func(ctx context.Context, stdin io.Reader, line int) (code, resume int, complaint string) {
		var stdout, stderr bytes.Buffer
		code = execute(ctx, []string{"import", "empty", "--dir", dir, "--from-line", fmt.Sprint(line)}, stdin, &stdout, &stderr)
		var imported int
		var took string
		if _, err := fmt.Sscanf(stdout.String(), "imported %d rows in %s the next line is %d", &imported, &took, &resume); err != nil {
			t.Fatalf("%q: %v", stdout.String(), err)
		}
		if imported != resume-line {
			t.Errorf("%d rows from line %d, the next line is %d", imported, line, resume)
		}
		return code, resume, stderr.String()
	}
	code, resume, complaint := importFrom(ctx, &interruptedReader{strings.NewReader(lines.String()), 1 << 20, cancel}, 1)
	if code != exitError || complaint != fmt.Sprintf("gabion: interrupted\nhint: go on with --from-line %d\n", resume) || resume < 2 || resume > rows {
		t.Fatalf("code %d, next line %d, %q", code, resume, complaint)
	}
	count := func() int {
		var stdout bytes.Buffer
		if code := execute(t.Context(), []string{"export", "empty", "--dir", dir}, nil, &stdout, io.Discard); code != exitOK {
			t.Fatalf("export: code %d", code)
		}
		return strings.Count(stdout.String(), "\n")
	}
	if n := count(); n != resume-1 {
		t.Errorf("%d rows are there, want %d", n, resume-1)
	}
	code, resume, _ = importFrom(t.Context(), strings.NewReader(lines.String()), resume)
	if n := count(); code != exitOK || resume != rows+1 || n != rows {
		t.Errorf("code %d, next line %d, %d rows", code, resume, n)
	}
}

// TestRecordsThatAreNoRows name their line, and the next one is read.
func TestRecordsThatAreNoRows(t *testing.T) {
	long := `{"key":"k","value":"` + strings.Repeat("x", maxLine) + `"}`
	for what, bad := range map[string]string{
		"UTF-8": "{\"key\":\"\xff\",\"value\":\"v\"}", "long": long, "value": `{"key":"k","value":"` + strings.Repeat("x", messages.MaxValue+1) + `"}`,
		"key": `{"key":"` + strings.Repeat("k", messages.MaxKey+1) + `"}`,
	} {
		j := newJSONLines(strings.NewReader("\n"+bad+"\n{\"key\":\"good\",\"value\":\"\"}"), "")
		_, err := j.next()
		var badErr *badRecord
		if !errors.As(err, &badErr) || badErr.line != 2 || len(err.Error()) > 200 {
			t.Errorf("%s: %.200v", what, err)
		}
		if r, err := j.next(); err != nil || string(r.key) != "good" || r.line != 3 || r.next != 4 {
			t.Errorf("%s: the next is %v, %v", what, r, err)
		}
		if _, err := j.next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end %v", what, err)
		}
	}
}

// errReader fails after its text.
type errReader struct{ io.Reader }

var errRead = errors.New("read fails")

func (r errReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errRead
	}
	return n, err
}

// TestReadError ends an import, also one that skips what is bad.
func TestReadError(t *testing.T) {
	dir := t.TempDir() + "/d"
	if err := fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	for format, text := range map[string]string{"jsonl": "{\"key\":\"a\",\"value\":\"\"}\n{", "deb822": "Package: a\n\nPackage"} {
		var stdout, stderr bytes.Buffer
		code := execute(t.Context(), []string{"import", "empty", "--skip-bad", "--format", format, "--dir", dir}, errReader{strings.NewReader(text)}, &stdout, &stderr)
		if code != exitError || !strings.Contains(stderr.String(), errRead.Error()) || !strings.Contains(stdout.String(), "imported 1 row") {
			t.Errorf("%s: code %d, %q, %q", format, code, stdout.String(), stderr.String())
		}
	}
}

func TestProgressLine(t *testing.T) {
	for _, test := range []struct {
		read, total int64
		want        string
	}{
		{0, 0, "500 rows, 0 B, 250 rows/s"},
		{512, 1024, "[===============               ]  50%  500 rows, 512 B, 250 rows/s"},
		{2048, 1024, "[==============================] 100%  500 rows, 2.0 KiB, 250 rows/s"},
	} {
		p := &progress{read: test.read, total: test.total}
		if got := p.line(500, 2*time.Second); got != test.want {
			t.Errorf("%d of %d: %q, want %q", test.read, test.total, got, test.want)
		}
	}
}

// TestHalfCharacters: what the parser would change is no row; pairs of halves and escaped backslashes are whole.
func TestHalfCharacters(t *testing.T) {
	for text, good := range map[string]bool{
		`{"key":"\ud800","value":""}`: false, `{"key":"a","value":"x\uDFFFy"}`: false, `{"key":"\ud800\u0041","value":""}`: false,
		`{"key":"\ud83d\ude00","value":""}`: true, `{"key":"\\ud800","value":""}`: true, `{"key":"\u00e9\n","value":""}`: true,
		`{"key":"a","value":"1"}}`: false, `{"key":"a","value":"1"}]`: false, `{"key":"a","value":"1"} `: true,
	} {
		_, err := newJSONLines(strings.NewReader(text+"\n"), "").next()
		if (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := newJSONLines(strings.NewReader(`{"id":"\ud800"}`), "id").next(); err == nil {
		t.Error("half a character is a key by --key")
	}
}
