package bench

import (
	"bytes"
	"compress/flate"
	"maps"
	"math"
	"slices"
	"testing"
)

// TestZipfian: of all draws the most frequent one has the share that the distribution gives it, and the tail is drawn.
func TestZipfian(t *testing.T) {
	const rows, draws = 10_000, 200_000
	z, rng := newZipfian(rows), NewKeys(rows, 1, 3).rng
	counts := make([]int, rows)
	for range draws {
		counts[z.next(rng)]++
	}
	for i, want := range map[int]float64{0: 1 / z.zeta, 1: 1 / math.Pow(2, theta) / z.zeta} {
		if got := float64(counts[i]) / draws; math.Abs(got-want) > want/10 {
			t.Errorf("%d has %.4f of the draws, want %.4f", i, got, want)
		}
	}
	if tail := slices.Max(counts[rows/2:]); tail == 0 || tail > draws/100 {
		t.Errorf("the most frequent of the upper half was drawn %d times", tail)
	}
}

// TestScrambled: the row that is asked for most has the share of the core workloads, and the distribution has their sum.
func TestScrambled(t *testing.T) {
	// The sum of 1/i^0.99 to n, by its integral behind the first thousand.
	const exact = 1000
	n, sum := scrambled.n, newZipfian(exact).zeta
	sum += (math.Pow(n+0.5, 1-theta) - math.Pow(exact+0.5, 1-theta)) / (1 - theta)
	if math.Abs(sum-scrambled.zeta) > 1e-4 {
		t.Errorf("the sum is %v, want %v", scrambled.zeta, sum)
	}
	const rows, draws = 10_000, 200_000
	k, counts := NewKeys(rows, 1, 3), map[string]int{}
	for range draws {
		counts[string(k.Zipfian())]++
	}
	top := slices.Max(slices.Collect(maps.Values(counts)))
	if got, want := float64(top)/draws, 1/scrambled.zeta; math.Abs(got-want) > want/10 {
		t.Errorf("the first row has %.4f of the draws, want %.4f", got, want)
	}
	if len(counts) < rows*8/10 {
		t.Errorf("%d of %d rows are asked for", len(counts), rows)
	}
}

// TestKeys: fresh keys are new, also to forks, the others are there, and the latest are the newest more often.
func TestKeys(t *testing.T) {
	const rows = 1000
	k := NewKeys(rows, 10, 1)
	there := map[string]bool{}
	for i := range uint64(rows) {
		there[string(KeyOf(i))] = true
	}
	other := k.fork()
	for range 2000 {
		for _, key := range [][]byte{k.Uniform(), k.Zipfian(), other.Zipfian()} {
			if !there[string(key)] {
				t.Fatalf("%x is not there", key)
			}
		}
	}
	newest := 0
	for range 1000 {
		for _, by := range []*Keys{k, other} {
			key := by.Fresh()
			if there[string(key)] {
				t.Fatalf("%x is not fresh", key)
			}
			there[string(key)] = true
			if latest := k.Latest(); !there[string(latest)] {
				t.Fatalf("latest %x is not there", latest)
			} else if bytes.Equal(latest, key) {
				newest++
			}
		}
	}
	if newest < 150 || newest > 500 { // one in 7.5
		t.Errorf("the newest was drawn %d times of 2000", newest)
	}
}

// TestValues: stores can compress neither a value nor many together, and whoever asks for one gets the same.
func TestValues(t *testing.T) {
	k := NewKeys(1000, 100, 1)
	var rows, packed bytes.Buffer
	for i := range k.Rows() {
		value := k.ValueOf(KeyOf(i))
		if !bytes.Equal(value, k.fork().ValueOf(KeyOf(i))) || len(value) != 100 || k.Size() != 116 {
			t.Fatalf("row %d has the value %x", i, value)
		}
		rows.Write(value)
	}
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(rows.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if packed.Len() < rows.Len()*98/100 {
		t.Errorf("%d bytes of values become %d", rows.Len(), packed.Len())
	}
}

// TestYCSB has the shares of the core workloads.
func TestYCSB(t *testing.T) {
	const ops = 20_000
	for letter, want := range map[string]struct{ gets, puts, fresh, scans float64 }{
		"A": {gets: 0.5, puts: 0.5},
		"B": {gets: 0.95, puts: 0.05},
		"C": {gets: 1},
		"D": {gets: 0.95, puts: 0.05, fresh: 0.05},
		"E": {scans: 0.95, puts: 0.05, fresh: 0.05},
		"F": {gets: 1, puts: 0.5},
	} {
		m, keys := &memory{}, NewKeys(1000, 10, 1)
		if err := m.Load(t.Context(), keys); err != nil {
			t.Fatal(err)
		}
		op := YCSB[letter](m)
		for range ops {
			if _, err := op(t.Context(), keys); err != nil {
				t.Fatal(err)
			}
		}
		for what, share := range map[string][2]float64{"gets": {float64(m.gets), want.gets}, "puts": {float64(m.puts), want.puts},
			"inserts": {float64(m.fresh), want.fresh}, "scans": {float64(m.scanned), want.scans}} {
			if got := share[0] / ops; math.Abs(got-share[1]) > 0.02 {
				t.Errorf("%s: %.3f are %s, want %.3f", letter, got, what, share[1])
			}
		}
	}
	if len(YCSB) != 6 {
		t.Errorf("%d workloads", len(YCSB))
	}
}
