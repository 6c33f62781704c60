package test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// The environment of TestKill.
const (
	killCount = "GABION_KILLS" // how many kills; 10 without it
	killWith  = "GABION_KILL_SEED"
)

// killMoments are what the parent waits for before it draws the instant of a kill, in turn, and the longest it lets
// pass then; where that is zero, what the step took the last time.
var killMoments = []struct {
	after, until string
	most         time.Duration
}{
	{after: lineServing, most: time.Second},
	{after: lineStarting, until: lineServing},
	{after: lineRun, most: 50 * time.Millisecond},
	{after: lineStopping, until: lineStopped},
	{after: lineDrop, until: lineDropped},
	{after: lineServing, most: 200 * time.Millisecond},
	{after: lineStarting, until: lineStarted},
	{after: lineCreate, until: lineCreated},
}

// TestKill kills a process under load with SIGKILL, at random instants: while it starts, serves, backs up, makes and drops
// a table, stops. After each kill every backup with its name is complete; the next process on the directory sweeps what
// was unfinished, and serves every table with what was acknowledged, or a later write, and a record that its rows
// agree with. The long run is
//
//	GABION_KILLS=200 go test ./test -run TestKill -timeout 30m
func TestKill(t *testing.T) {
	kills, seed := number(t, killCount, 10), number(t, killWith, uint64(time.Now().UnixNano()))
	t.Logf("%d kills; repeat with: %s=%d %s=%d go test ./test -run '^TestKill$'", kills, killCount, kills, killWith, seed)
	dir, err := os.MkdirTemp("", "gabion-kill")
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), seed: seed, dir: filepath.Join(dir, "d"), killLedger: newKillLedger(),
		since: map[string]time.Time{}, took: map[string]time.Duration{}, phases: map[string]int{}, promised: map[string]string{},
	}
	defer func() {
		if t.Failed() {
			t.Logf("the directory is kept: %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}()
	for i := range int(kills) {
		k.kill(i)
		k.checkDisk()
		if t.Failed() {
			t.Fatalf("after kill %d, %s", i+1, k.phase)
		}
	}
	k.finish()
	t.Logf("killed while %v; %d of them with a backup under way, %d with something to sweep", k.phases, k.inRun, k.toSweep)
	t.Logf("%d writes acknowledged, %d runs complete, %d backups checked, %d tables dropped", k.killLedger.acks, k.runs, k.checked, k.drops)
	if k.killLedger.acks < 20*int(kills) || k.checked < int(kills) {
		t.Error("that is too little to prove anything")
	}
}

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// killer kills one victim after another, and knows what they were promised.
type killer struct {
	t          *testing.T
	rng        *rand.Rand
	seed       uint64
	dir        string
	killLedger *killLedger

	phase    string                   // of the victim: its last line that tells one
	running  bool                     // a backup is under way
	since    map[string]time.Time     // when a step began the last time, by the line that ends it
	took     map[string]time.Duration // how long it took
	promised map[string]string        // the newest backup of each table that a BackupComplete named
	scratch  []generation             // what scratchTable may be: the last one known is first

	phases                               map[string]int
	inRun, toSweep, runs, checked, drops int
}

// kill lets a victim live until the instant that was drawn.
func (k *killer) kill(i int) {
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), killDir+"="+k.dir, fmt.Sprint(killLife, "=", i+1), fmt.Sprint(killSeed, "=", k.seed))
	var stderr bytes.Buffer
	victim.Stderr = &stderr
	stdin, err := victim.StdinPipe() // ends the victim, should this process die first
	if err != nil {
		k.t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := victim.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		k.t.Fatal(err)
	}
	lines := make(chan string, 1024)
	go func() {
		defer close(lines)
		for reader := bufio.NewReader(stdout); ; {
			line, err := reader.ReadString('\n')
			if err != nil {
				return // also of a line that the kill cut short
			}
			lines <- strings.TrimSuffix(line, "\n")
		}
	}()
	moment := killMoments[i%len(killMoments)]
	drawn, killed := false, false
	instant := time.NewTimer(time.Minute)
	defer instant.Stop()
	for open := true; open; {
		select {
		case line, more := <-lines:
			if open = more; !more {
				break
			}
			k.hear(line)
			if word, _, _ := strings.Cut(line, " "); (line == moment.after || word == moment.after) && !drawn {
				most := moment.most
				if most == 0 {
					most = max(k.took[moment.until], 20*time.Millisecond) * 6 / 5
				}
				instant.Reset(time.Duration(k.rng.Int64N(int64(most))))
				drawn = true
			}
		case <-instant.C:
			killed = true
			if err := victim.Process.Kill(); err != nil {
				k.t.Error(err)
			}
			if !drawn {
				k.t.Errorf("no %q within a minute", moment.after)
			}
		}
	}
	if err := victim.Wait(); !killed || stderr.Len() > 0 {
		k.t.Errorf("the victim ended by itself: %v\n%s", err, stderr.String())
	}
	k.phases[k.phase]++
	if k.running {
		k.inRun++
	}
	k.running = false
}

// hear takes one line of the victim.
func (k *killer) hear(line string) {
	word, rest, _ := strings.Cut(line, " ")
	args := append(strings.SplitN(rest, " ", 4), "", "", "", "")
	count := func(i int) uint64 {
		n, err := strconv.ParseUint(args[i], 10, 64)
		if err != nil {
			k.t.Errorf("line %q: %v", line, err)
		}
		return n
	}
	k.time(line, word)
	switch {
	case slices.Contains([]string{lineStarting, lineStarted, lineServing, lineStopping, lineStopped}, line):
		k.phase = line
		k.running = k.running && line != lineStarting
	case line == lineRun:
		k.running = true
	case line == lineRunEnded:
		k.running = false
		k.runs++
	case word == "sent":
		k.killLedger.sent(args[0], args[1], count(2))
	case word == "acked":
		k.killLedger.acked(args[0], args[1], count(2), count(3))
	case word == "refused":
		k.killLedger.refused(args[0], args[1], count(2))
	case word == "backup":
		k.promised[args[0]] = max(k.promised[args[0]], args[1])
	case word == "saw":
		var s sighting
		if err := json.Unmarshal([]byte(strings.TrimPrefix(rest, args[0])), &s); err != nil {
			k.t.Errorf("line %q: %v", line, err)
		}
		k.saw(args[0], &s)
	case word == lineCreate:
		k.scratch = append(k.scratch, generation{number: count(0)})
	case word == lineCreated:
		k.settle(generation{count(0), args[1]})
	case word == lineDrop:
		k.scratch = append(k.scratch, generation{})
	case word == lineDropped, line == lineNoScratch:
		if word == lineDropped {
			k.drops++
		}
		if !slices.Contains(k.scratch, generation{}) && len(k.scratch) > 0 && k.scratch[0].lineage != "" {
			k.t.Errorf("table %s of lineage %s is gone, and was not dropped", scratchTable, k.scratch[0].lineage)
		}
		k.settle(generation{})
	default:
		k.t.Error(line)
	}
	for _, fault := range k.killLedger.takeFaults() {
		k.t.Error(fault)
	}
}

// time notes how long the step took that a line ends.
func (k *killer) time(line, word string) {
	for _, moment := range killMoments {
		switch {
		case moment.until == "":
		case line == moment.after, word == moment.after:
			k.since[moment.until] = time.Now()
		case line == moment.until, word == moment.until:
			k.took[moment.until] = time.Since(k.since[moment.until])
		}
	}
}

// checkDisk checks the backups that a kill left, before anything is swept.
func (k *killer) checkDisk() {
	left, err := leftovers(k.dir)
	if err != nil {
		k.t.Error(err)
	}
	if len(left) > 0 {
		k.toSweep++
	}
	newest := map[string]string{}
	names, err := filepath.Glob(filepath.Join(k.dir, store.BackupsDir, "*", "[0-9]*_*"))
	if err != nil {
		k.t.Error(err)
	}
	for _, name := range names {
		k.checked++
		if err := checkBackup(store.RealFS(), name); err != nil {
			k.t.Errorf("backup %s: %v", name, err)
		}
		table := filepath.Base(filepath.Dir(name))
		newest[table] = max(newest[table], filepath.Base(name))
	}
	for table, id := range k.promised {
		if newest[table] < id {
			k.t.Errorf("a BackupComplete named backup %s of table %s, the newest one is %q", id, table, newest[table])
		}
	}
	// The pins of the dropped tables would keep all of them.
	pins, err := filepath.Glob(filepath.Join(k.dir, store.BackupsDir, scratchTable, "pins", "*.json"))
	if err != nil {
		k.t.Error(err)
	}
	for _, pin := range pins {
		if err := os.Remove(pin); err != nil {
			k.t.Error(err)
		}
	}
}

// finish opens the directory in this process, and checks it once more.
func (k *killer) finish() {
	ctx := context.Background()
	v := &victim{dir: k.dir, rng: k.rng}
	system := quietSystem()
	defer system.Shutdown()
	g, err := actors.Start(ctx, system, v.config())
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() {
		if err := g.Stop(ctx); err != nil {
			k.t.Error(err)
		}
		k.checkDisk()
	}()
	if left, err := leftovers(k.dir); err != nil || len(left) > 0 {
		k.t.Errorf("not swept: %q, %v", left, err)
	}
	sums := map[string]store.Sums{}
	for _, table := range killTables {
		s, err := sight(ctx, g, table)
		if err != nil {
			k.t.Fatalf("read table %s: %v", table, err)
		}
		k.killLedger.saw(table, s)
		sums[table] = s.Sums
	}
	for _, fault := range k.killLedger.takeFaults() {
		k.t.Error(fault)
	}
	if err := checkSums(ctx, g, sums); err != nil {
		k.t.Error(err)
	}
	tables, err := g.ListTables(ctx)
	if err != nil {
		k.t.Fatal(err)
	}
	for _, info := range tables {
		if slices.Contains(killTables, info.GetTable()) && info.GetState() != messages.TableState_TABLE_STATE_OPEN {
			k.t.Errorf("table %s is %v: %s", info.GetTable(), info.GetState(), info.GetReason())
		}
	}
}
