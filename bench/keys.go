package bench

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sync/atomic"
)

// Keys makes keys and values. Row i has the key KeyOf(i); rows below Rows are there from the start, and Fresh ones are added
// behind them. A Keys is of one goroutine, its forks of others.
type Keys struct {
	rng    *rand.Rand
	shared *shared
	zipf   *zipfian // of Latest
}

// shared is what all forks of a Keys have in common.
type shared struct {
	rows  uint64
	next  atomic.Uint64 // the first row that nobody has taken
	forks atomic.Uint64
	pool  []byte // of which every value is a part
	size  int    // of a value
	seed  uint64
}

// poolBytes is how many places of the pool a value may begin at. It is far more than a block of any store has bytes, so that
// hardly two values of a block have bytes in common, which the store would compress away.
const poolBytes = 8 << 20

// NewKeys makes the keys of so many rows, whose values have size bytes. Neither a value compresses nor many of them together.
func NewKeys(rows uint64, size int, seed uint64) *Keys {
	s := &shared{rows: rows, pool: make([]byte, poolBytes+size), size: size, seed: seed}
	s.next.Store(rows)
	_, _ = rand.NewChaCha8([32]byte{1, byte(seed)}).Read(s.pool)
	return &Keys{rng: rand.New(rand.NewPCG(seed, 0)), shared: s, zipf: newZipfian(rows)}
}

func (k *Keys) fork() *Keys {
	return &Keys{rng: rand.New(rand.NewPCG(k.shared.seed, k.shared.forks.Add(1))), shared: k.shared, zipf: k.zipf}
}

// KeyBytes is the length of a key.
const KeyBytes = 16

// KeyOf is the key of row i: 16 bytes, of which the first eight are spread, as those of hashed ids are.
func KeyOf(i uint64) []byte {
	key := binary.BigEndian.AppendUint64(make([]byte, 0, KeyBytes), scramble(i))
	return binary.BigEndian.AppendUint64(key, i)
}

// Rows is how many rows there are from the start.
func (k *Keys) Rows() uint64 { return k.shared.rows }

// Size is the bytes of a key and its value.
func (k *Keys) Size() int { return KeyBytes + k.shared.size }

// ValueOf is the value of the row that has the key, whoever stores it. It must not be changed.
func (k *Keys) ValueOf(key []byte) []byte {
	at := binary.BigEndian.Uint64(key) % poolBytes
	return k.shared.pool[at : at+uint64(k.shared.size) : at+uint64(k.shared.size)]
}

// Fresh is the key of a row that there was not.
func (k *Keys) Fresh() []byte { return KeyOf(k.shared.next.Add(1) - 1) }

// Uniform is the key of any row that is there from the start.
func (k *Keys) Uniform() []byte { return KeyOf(k.rng.Uint64N(k.shared.rows)) }

// Zipfian is the key of a row that is there from the start, some far more often than others, by the scrambled Zipfian
// distribution of YCSB: it draws from far more numbers than there are rows, and spreads them over the rows by a hash.
func (k *Keys) Zipfian() []byte { return KeyOf(scramble(scrambled.next(k.rng)) % k.shared.rows) }

// Latest is the key of a row that may be there, the newer the more often, by YCSB's distribution of that name.
func (k *Keys) Latest() []byte {
	return KeyOf(k.shared.next.Load() - 1 - k.zipf.next(k.rng))
}

// N is a number from 0 to n-1.
func (k *Keys) N(n int) int { return k.rng.IntN(n) }

// scramble spreads numbers that follow one another (the finalizer of MurmurHash3).
func scramble(i uint64) uint64 {
	i ^= i >> 33
	i *= 0xff51afd7ed558ccd
	i ^= i >> 33
	i *= 0xc4ceb9fe1a85ec53
	return i ^ i>>33
}

// zipfian draws 0 to n-1, small numbers more often: Gray et al., "Quickly Generating Billion-Record Synthetic Databases",
// SIGMOD 1994, as YCSB does.
type zipfian struct {
	n                 float64
	alpha, zeta2, eta float64
	zeta              float64
}

const theta = 0.99

// scrambled has the numbers of YCSB's ScrambledZipfianGenerator, and its sum over them.
var scrambled = zipfianOf(10_000_000_000, 26.46902820178302)

func newZipfian(n uint64) *zipfian {
	zeta := 0.0
	for i := uint64(1); i <= n; i++ {
		zeta += 1 / math.Pow(float64(i), theta)
	}
	return zipfianOf(n, zeta)
}

func zipfianOf(n uint64, zeta float64) *zipfian {
	z := &zipfian{n: float64(n), alpha: 1 / (1 - theta), zeta: zeta}
	z.zeta2 = 1 + 1/math.Pow(2, theta)
	z.eta = (1 - math.Pow(2/z.n, 1-theta)) / (1 - z.zeta2/z.zeta)
	return z
}

func (z *zipfian) next(rng *rand.Rand) uint64 {
	u := rng.Float64()
	switch uz := u * z.zeta; {
	case uz < 1:
		return 0
	case uz < z.zeta2:
		return 1
	}
	return min(uint64(z.n*math.Pow(z.eta*u-z.eta+1, z.alpha)), uint64(z.n)-1)
}
