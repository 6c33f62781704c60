package backup_test

import (
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// benchBackup publishes a backup of n rows of 100 B.
func benchBackup(b *testing.B, n int) (d *backup.Directory, found backup.Backup, root string) {
	b.Helper()
	fs := store.RealFS()
	root, err := store.RealPath(fs, b.TempDir())
	must(b, err)
	live := serveTable(b, fs, root, messages.Accounting_ACCOUNTING_AT_CUT)
	for from := 0; from < n; from += 5000 {
		live.put(from, from+5000, 89)
	}
	live.flush()
	d = openDir(b, fs, filepath.Join(root, "backups"))
	found, err = d.Find(table, publish(b, d, live.cut()).GetBackupId())
	must(b, err)
	return d, found, root
}

// eachFile calls work with every file of a backup, open.
func eachFile(b *testing.B, found backup.Backup, work func(name string, f *os.File) error) {
	b.Helper()
	for _, entry := range found.Manifest.GetFiles() {
		f, err := os.Open(filepath.Join(found.Path, "db", entry.GetName()))
		must(b, err)
		must(b, errors.Join(work(entry.GetName(), f), f.Close()))
	}
}

// report says how fast work was, beside the plain one that was measured in the same run, in turn with it.
func report(b *testing.B, bytes int64, plainName string, work, plain func()) {
	var spent, plainSpent time.Duration
	for b.Loop() {
		start := time.Now()
		work()
		spent += time.Since(start)
		b.StopTimer()
		start = time.Now()
		plain()
		plainSpent += time.Since(start)
		b.StartTimer()
	}
	rate := func(d time.Duration) float64 { return float64(bytes) * float64(b.N) / d.Seconds() / 1e6 }
	b.ReportMetric(rate(spent), "MB/s")
	b.ReportMetric(rate(plainSpent), plainName+"-MB/s")
	b.ReportMetric(plainSpent.Seconds()/spent.Seconds(), "x-"+plainName)
}

const benchRows = 500_000

// BenchmarkWorkers says how many times as fast two workers verify and restore as one, in turn in the same run.
func BenchmarkWorkers(b *testing.B) {
	d, found, root := benchBackup(b, 4*benchRows)
	to := filepath.Join(root, "to")
	var verify, restore [2]time.Duration
	for b.Loop() {
		for i := range 2 {
			o := backup.VerifyOptions{Workers: i + 1}
			start := time.Now()
			_, err := d.Verify(b.Context(), table, found.ID, o)
			must(b, err)
			verify[i] += time.Since(start)
			must(b, errors.Join(os.RemoveAll(to), os.Mkdir(to, 0o755)))
			start = time.Now()
			_, err = d.Restore(b.Context(), found, to, o)
			must(b, err)
			restore[i] += time.Since(start)
		}
	}
	b.ReportMetric(verify[0].Seconds()/verify[1].Seconds(), "x-verify")
	b.ReportMetric(restore[0].Seconds()/restore[1].Seconds(), "x-restore")
}

// BenchmarkVerify beside what sha256sum does: to read and hash every file.
func BenchmarkVerify(b *testing.B) {
	d, found, _ := benchBackup(b, benchRows)
	report(b, found.Bytes(), "sha256sum", func() {
		v, err := d.Verify(b.Context(), table, found.ID, backup.VerifyOptions{})
		must(b, err)
		if v.Proof.GetRows() != benchRows {
			b.Fatal(v.Proof)
		}
	}, func() {
		eachFile(b, found, func(_ string, f *os.File) error {
			_, err := io.CopyBuffer(sha256.New(), struct{ io.Reader }{f}, make([]byte, 1<<20))
			return err
		})
	})
}

// BenchmarkRestore beside what cp and sync do. Both are into a directory that is made anew, in the time of both.
func BenchmarkRestore(b *testing.B) {
	d, found, root := benchBackup(b, benchRows)
	to := filepath.Join(root, "to")
	fresh := func() {
		must(b, os.RemoveAll(to))
		must(b, os.Mkdir(to, 0o755))
	}
	report(b, found.Bytes(), "cp", func() {
		fresh()
		_, err := d.Restore(b.Context(), found, to, backup.VerifyOptions{})
		must(b, err)
	}, func() {
		fresh()
		eachFile(b, found, func(name string, f *os.File) error {
			dst, err := os.Create(filepath.Join(to, name))
			must(b, err)
			_, err = io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{f}, make([]byte, 1<<20))
			return errors.Join(err, dst.Sync(), dst.Close())
		})
	})
}
