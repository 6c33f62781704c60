package actors_test

import (
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestVerifyRate: a verify reads no faster than it is asked to, and takes no time without.
func TestVerifyRate(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.big("tasks")
		size := h.backup("tasks")["tasks"].GetBytes()
		for rate, want := range map[uint64]time.Duration{
			0:                0,
			messages.MinRate: time.Duration(float64(2*size) / messages.MinRate * float64(time.Second)), // read twice
		} {
			began := time.Now()
			report, err := h.g.Verify(h.Context(), &messages.VerifyBackup{BytesPerSecond: rate})
			if err != nil || report.GetResults()[0].GetProof().GetVerdict() != messages.Verdict_VERDICT_PROVEN {
				t.Fatalf("verify: %v, %v", report, err)
			}
			if took := time.Since(began); took < want*9/10 || took > want*11/10 {
				t.Errorf("a verify of %d B at %d B a second took %v, want %v", size, rate, took, want)
			}
		}
		_, err := h.g.Verify(h.Context(), &messages.VerifyBackup{BytesPerSecond: 1})
		wantCode(t, "a verify at 1 B a second", err, messages.Code_CODE_INVALID_ARGUMENT)
	})
}
