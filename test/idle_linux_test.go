package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
)

const (
	// idleTables is how many tables idle.
	idleTables = 1000
	// idleTime is how long they are watched.
	idleTime = 10 * time.Second
	// idleDir names the directory to open, for the process that idles.
	idleDir = "GABION_TEST_IDLE_DIR"
)

// BenchmarkThousandIdleTables makes a thousand tables on the real file system, each with a row, has another process open them
// again, and reports what they cost it while nobody asks for anything. One iteration tells all:
//
//	go test -run '^$' -bench ThousandIdleTables -benchtime 1x ./test
func BenchmarkThousandIdleTables(b *testing.B) {
	if dir := os.Getenv(idleDir); dir != "" {
		idle(b, dir)
		return
	}
	dir := b.TempDir()
	g, took, stop := startThousand(b, dir)
	for _, table := range thousand() {
		if _, err := g.Table(table).Put(b.Context(), []byte("key"), []byte("value")); err != nil {
			b.Fatal(err)
		}
	}
	stop()
	for b.Loop() {
		process := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=ThousandIdleTables", "-test.benchtime=1x")
		process.Env = append(os.Environ(), idleDir+"="+dir)
		process.Stderr = os.Stderr
		out, err := process.Output()
		if err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		_, text, _ := bytes.Cut(out, []byte(idleDir))
		var figures map[string]float64
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&figures); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		for unit, figure := range figures {
			b.ReportMetric(figure, unit)
		}
	}
	b.ReportMetric(took.Seconds(), "create-s")
}

func thousand() (tables []string) {
	for i := range idleTables {
		tables = append(tables, fmt.Sprintf("t%03d", i))
	}
	return tables
}

func startThousand(b *testing.B, dir string) (g *actors.Gabion, took time.Duration, stop func()) {
	b.Helper()
	system := quietSystem()
	began := time.Now()
	g, err := actors.Start(b.Context(), system, actors.Config{Dir: dir, Tables: thousand(), DisableSchedule: true})
	if err != nil {
		b.Fatal(err)
	}
	return g, time.Since(began), func() {
		if err := g.Stop(context.Background()); err != nil {
			b.Error(err)
		}
		system.Shutdown()
	}
}

// idle opens the tables, does nothing, and writes the figures to stdout.
func idle(b *testing.B, dir string) {
	g, took, stop := startThousand(b, dir)
	figures := map[string]float64{"open-s": took.Seconds()}
	<-time.After(3 * time.Second) // what the start left to do
	before := consumption(b)
	<-time.After(idleTime)
	after := consumption(b)
	figures["idle-cpu-%"] = 100 * (after.cpu - before.cpu).Seconds() / idleTime.Seconds()
	figures["idle-switches/s"] = float64(after.switches-before.switches) / idleTime.Seconds()
	figures["rss-MB"] = after.resident / (1 << 20)
	figures["goroutines"] = float64(runtime.NumGoroutine())
	figures["descriptors"] = float64(after.descriptors)
	for _, table := range thousand() {
		if _, err := g.Table(table).Put(b.Context(), []byte("key"), []byte("another")); err != nil {
			b.Fatal(err)
		}
	}
	<-time.After(3 * time.Second) // what the writes left to do
	before = consumption(b)
	<-time.After(idleTime)
	figures["written-idle-cpu-%"] = 100 * (consumption(b).cpu - before.cpu).Seconds() / idleTime.Seconds()
	began := time.Now()
	if _, err := g.Table("t500").Get(b.Context(), []byte("key")); err != nil {
		b.Error(err)
	}
	figures["first-get-us"] = float64(time.Since(began).Microseconds())
	began = time.Now()
	stop()
	figures["stop-s"] = time.Since(began).Seconds()
	text, err := json.Marshal(figures)
	if err != nil {
		b.Fatal(err)
	}
	fmt.Printf("%s%s\n", idleDir, text)
}

// consumed is what the process has used.
type consumed struct {
	cpu         time.Duration
	switches    int64 // how often a thread waited
	resident    float64
	descriptors int
}

func consumption(b *testing.B) consumed {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return consumed{time.Duration(r.Utime.Nano() + r.Stime.Nano()), int64(r.Nvcsw), float64(pages * os.Getpagesize()), len(open)}
}
