//go:build !windows

package ops

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestCertificateOnAHungDisk serves on, whether it was read anew or not, and with one goroutine that waits.
func TestCertificateOnAHungDisk(t *testing.T) {
	certFile, keyFile, _ := certify(t, t.TempDir(), 1)
	c, err := loadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	first := c.now
	certify(t, filepath.Dir(certFile), 2)
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(certFile, later, later); err != nil {
		t.Fatal(err)
	}
	got, err := c.get(nil)
	if err != nil || got == first {
		t.Fatalf("a renewed certificate is not served to the first who comes: %v", err)
	}
	first = got
	looking := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.looking
	}
	answers := make(chan struct{})
	c.read = func(path string) ([]byte, error) {
		<-answers
		return readCertificate(path)
	}
	// A FIFO in the certificate's place is no certificate, and nobody waits for its other end.
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(certFile, 0o600); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 2*certificateLook; {
		if got, err := c.get(nil); err != nil || got != first {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if !looking() {
		t.Fatal("nobody reads the files")
	}
	close(answers)
	waitFor(t, func() bool { return !looking() })
	if got, err := c.get(nil); err != nil || got != first {
		t.Errorf("afterwards %v, %v", got, err)
	}
	waitFor(t, func() bool { return !looking() })
}
