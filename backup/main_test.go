package backup_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"regexp"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gabiondb/gabion/backup"
)

var (
	seedFlag = flag.Uint64("seed", 0, "seed of the random crashes; 0 takes a new one")
	rewrite  = flag.Bool("rewrite", false, "write the golden files anew")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newRand returns a source whose seed the test's log names.
func newRand(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with: go test -run %s -seed %d", t.Name(), seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestPebbleVersionIsThatOfGoMod(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	must(t, err)
	match := regexp.MustCompile(`(?m)^\s*github\.com/cockroachdb/pebble/v2 (v\S+)$`).FindSubmatch(mod)
	if match == nil || string(match[1]) != backup.PebbleVersion {
		t.Fatalf("go.mod has pebble %q, the manifests say %s", match, backup.PebbleVersion)
	}
}
