package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// profiled are the turns whose processor time is taken apart.
var profiled = []struct{ workload, contender string }{
	{"put, one sender that does not wait", "gabion at_cut"},
	{"put, 64 callers", "gabion at_cut"},
	{"put, 64 callers", "gabion exact"},
	{"get, 64 callers", "gabion exact"},
	{"get, 1 caller", "gabion message"},
}

// parts are what a sample of the profile may belong to: the first one of which it has a function.
var parts = []part{
	{"Pebble's compactions and flushes", regexp.MustCompile(`pebble/v2\.\(\*DB\)\.(compact|flush|runCompaction|runPickedCompaction)|\(\*cleanupManager\)`)},
	{"Pebble's WAL: write and fsync", regexp.MustCompile(`record\.\(\*LogWriter\)\.flushLoop`)},
	{"Pebble's memtable: insert", regexp.MustCompile(`pebble/v2\.\(\*memTable\)\.apply`)},
	{"what the writes replace: read and summed up", regexp.MustCompile(`store\.\(\*Group\)\.(ReadAhead|readPriors|account)|store\.\(\*Store\)\.prior`)},
	{"Pebble's Get", regexp.MustCompile(`pebble/v2\.\(\*DB\)\.Get$`)},
	{"committer, beside Pebble: groups, batch, record", regexp.MustCompile(`actors\.\(\*committer\)\.(run|commit)$`)},
	{"acker and courier: answers, mark", regexp.MustCompile(`actors\.\(\*(acker|outbox)\)\.run$`)},
	{"owner: mailbox, checks, order of commits", regexp.MustCompile(`actor\.\(\*defaultMailbox\)\.run$`)},
	{"readers, beside Pebble", regexp.MustCompile(`actors\.\(\*readers\)\.run$`)},
	{"caller: copies, checks, order of commits, wait", regexp.MustCompile(`actors\.\(\*Table\)|actor\.\(\*RootContext\)|actor\.\(\*Future\)`)},
	{"garbage collection", regexp.MustCompile(`^runtime\.(gcBgMarkWorker|gcAssistAlloc|bgsweep|bgscavenge)`)},
	{"the runtime's scheduler, and the benchmark", regexp.MustCompile(``)},
}

// backupParts are those of the steps of a big table, in the same way.
var backupParts = []part{
	{"Pebble's compactions and flushes", parts[0].functions},
	{"SHA-256 of the files", regexp.MustCompile(`crypto/.*sha256`)},
	{"fingerprints of the rows", regexp.MustCompile(`store\.\(\*Fingerprinter\)`)},
	{"checksums of the blocks", regexp.MustCompile(`crc\.|crc32|block\.\(\*?Checksummer|block\.ValidateChecksum`)},
	{"blocks: unpacked", regexp.MustCompile(`snappy|minlz|zstd|block.*[Dd]ecompress`)},
	{"fsync", regexp.MustCompile(`\(\*File\)\.Sync|Fsync|Fdatasync|SyncTo|SyncFileRange|sync_file_range`)},
	{"the system: reads and writes", regexp.MustCompile(`syscall\.(Syscall|Syscall6|RawSyscall|syscall|read|write|pread|pwrite|Pread|Pwrite)$`)},
	{"Pebble's iterators: blocks and rows", regexp.MustCompile(`pebble/v2`)},
	{"verify, beside all that", regexp.MustCompile(`gabion/(store|backup)`)},
	{"the runtime, and all else", regexp.MustCompile(``)},
}

// part is a name for samples of a profile.
type part struct {
	name      string
	functions *regexp.Regexp
}

// apart is where the processor time of a turn goes.
type apart struct {
	Workload  string  `json:"workload"`
	Contender string  `json:"contender"`
	Shares    []share `json:"shares"`
}

type share struct {
	Part  string  `json:"part"`
	Share float64 `json:"share"`
}

// leastProfile is how long a profile lasts at least: it has a hundred samples a second.
const leastProfile = 300 * time.Millisecond

// measureProfiles runs some turns once more, and takes their processor time apart.
func measureProfiles(ctx context.Context, o options, dir string, r *results) error {
	o.seconds = max(3*o.seconds, leastProfile.Seconds())
	for _, p := range profiled {
		if !o.only.MatchString("profile, " + p.workload) {
			continue
		}
		list := workloads(nil)
		w := list[slices.IndexFunc(list, func(w workload) bool { return w.name == p.workload })]
		t := w.turns[slices.IndexFunc(w.turns, func(t turn) bool { return t.name == p.contender })]
		var data bytes.Buffer
		_, _, err := takeTurn(ctx, o, w, t, filepath.Join(dir, "store"), func(run func() error) error {
			if err := pprof.StartCPUProfile(&data); err != nil {
				return err
			}
			defer pprof.StopCPUProfile()
			return run()
		})
		if err != nil {
			return fmt.Errorf("profile, %s: %s: %w", w.name, t.name, err)
		}
		shares, err := takeApart(data.Bytes(), parts)
		if err != nil {
			return err
		}
		r.Profiles = append(r.Profiles, apart{w.name, t.name, shares})
		fmt.Printf("profile  %-36s %-26s %s\n", w.name, t.name, shares[0].Part)
	}
	return nil
}

// takeApart returns the parts that a profile has, the largest first.
func takeApart(data []byte, parts []part) ([]share, error) {
	p, err := profile.ParseData(data)
	if err != nil {
		return nil, fmt.Errorf("parse profile: %w", err)
	}
	sums, total := make([]int64, len(parts)), int64(0)
	for _, s := range p.Sample {
		i := slices.IndexFunc(parts, func(part part) bool {
			return slices.ContainsFunc(s.Location, func(l *profile.Location) bool {
				return slices.ContainsFunc(l.Line, func(line profile.Line) bool { return part.functions.MatchString(line.Function.Name) })
			})
		})
		if i < 0 { // without a function
			i = len(parts) - 1
		}
		sums[i] += s.Value[len(s.Value)-1]
		total += s.Value[len(s.Value)-1]
	}
	var shares []share
	for i, sum := range sums {
		if sum > 0 {
			shares = append(shares, share{parts[i].name, float64(sum) / float64(total)})
		}
	}
	slices.SortFunc(shares, func(a, b share) int {
		if a.Share > b.Share {
			return -1
		}
		return 1
	})
	return shares, nil
}

// profiles is the table of where the time of some runs goes.
func profiles(runs []apart, parts []part) string {
	if len(runs) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\nPercent of the samples of one run each; - is none.\n\n| |")
	for _, p := range runs {
		fmt.Fprintf(&b, " %s: %s |", p.Workload, p.Contender)
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(runs)) + "\n")
	for _, part := range parts {
		cells, any := "", false
		for _, p := range runs {
			i := slices.IndexFunc(p.Shares, func(s share) bool { return s.Part == part.name })
			if i < 0 {
				cells += " - |"
				continue
			}
			any = true
			cells += fmt.Sprintf(" %.1f |", 100*p.Shares[i].Share)
		}
		if any {
			fmt.Fprintf(&b, "| %s |%s\n", part.name, cells)
		}
	}
	return b.String()
}
