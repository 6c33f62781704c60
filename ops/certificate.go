package ops

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

const (
	// certificateLook is how often the files are looked at, while connections come.
	certificateLook = time.Second
	// maxCertificate bounds each of the files, in bytes: a certificate comes with its chain.
	maxCertificate = 1 << 20
	// certificatePatience is how long the connection waits that has them looked at.
	certificatePatience = time.Second
)

// certificate is one that is read anew when its files change: those who renew it need no restart.
type certificate struct {
	certFile, keyFile string
	logger            *slog.Logger
	// read is readCertificate, but in tests.
	read func(path string) ([]byte, error)

	mu      sync.Mutex
	now     *tls.Certificate
	looked  time.Time
	looking bool

	of [2]time.Time // when the files changed last; for the one goroutine that looks
}

// loadCertificate reads the files; empty paths are none.
func loadCertificate(certFile, keyFile string, logger *slog.Logger) (*certificate, error) {
	if certFile == "" || keyFile == "" {
		return nil, nil
	}
	c := &certificate{certFile: certFile, keyFile: keyFile, logger: logger, read: readCertificate}
	if err := c.load(c.changed()); err != nil {
		return nil, messages.WithHint(fmt.Errorf("read certificate: %w", err),
			"--http-cert-file and --http-key-file name a certificate and its key, in PEM")
	}
	return c, nil
}

func readCertificate(path string) ([]byte, error) { return readNamed(path, maxCertificate) }

func (c *certificate) changed() (at [2]time.Time) {
	for i, path := range []string{c.certFile, c.keyFile} {
		if info, err := disk.StatNamed(path); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}

func (c *certificate) load(of [2]time.Time) error {
	cert, certErr := c.read(c.certFile)
	key, keyErr := c.read(c.keyFile)
	if err := errors.Join(certErr, keyErr); err != nil {
		return err
	}
	loaded, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.of = &loaded, of
	return nil
}

// get is for tls.Config.GetCertificate. The connection that has the files looked at gets what they hold, as after a night in which
// nobody came and the old one expired; a disk that hangs holds up that one, for a moment, and no other.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.looking && time.Since(c.looked) >= certificateLook {
		c.looking = true
		over := make(chan struct{})
		go func() {
			defer close(over)
			c.look()
		}()
		c.mu.Unlock()
		select {
		case <-over:
		case <-time.After(certificatePatience):
		}
		c.mu.Lock()
	}
	return c.now, nil
}

// look reads the files if they have changed. What cannot be read, as while it is being replaced, leaves the old certificate.
func (c *certificate) look() {
	if of := c.changed(); of != c.of {
		if err := c.load(of); err != nil {
			c.logger.Warn("certificate cannot be read anew: the old one serves", "error", err)
		} else {
			c.logger.Info("certificate read anew", "file", c.certFile)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked, c.looking = time.Now(), false
}
