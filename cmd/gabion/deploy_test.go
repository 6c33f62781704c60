package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/ops"
)

// deployment is what docs/deploy has, as text, and what the files must agree with.
type deployment struct {
	service, config, container, compose string
	// goVersion is that of go.mod.
	goVersion string
}

func readDeployment(t *testing.T) deployment {
	t.Helper()
	read := func(path ...string) string {
		data, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	d := deployment{
		service: read("docs", "deploy", "gabion.service"), config: read("docs", "deploy", "gabion.yaml"),
		container: read("docs", "deploy", "Containerfile"), compose: read("docs", "deploy", "compose.yaml"),
	}
	d.goVersion = regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read("go.mod"))[1]
	return d
}

// one returns what follows the key in the only line that begins with it, and nothing where there is none, or several.
func one(text, key string) string {
	var found []string
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), key); ok {
			found = append(found, strings.TrimSpace(value))
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// drained says whether a stop that may take so long waits for a drain, with some time for what comes before and after.
func drained(text string, stop time.Duration) bool {
	d, err := time.ParseDuration(text)
	return err == nil && d >= stop+10*time.Second
}

// faults returns what is not true of a deployment.
func (d deployment) faults(t *testing.T) (faults []string) {
	t.Helper()
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	path := filepath.Join(t.TempDir(), "gabion.yaml")
	if err := os.WriteFile(path, []byte(d.config), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := ops.LoadConfig(ops.Sources{File: path})
	if err != nil {
		return []string{err.Error()}
	}
	dir := config.Gabion.Dir

	unit := func(key string) string { return one(d.service, key+"=") }
	check("/var/lib/"+unit("StateDirectory") == dir && unit("RequiresMountsFor") == dir, "the unit's directory is not %s", dir)
	check(unit("StateDirectoryMode") == fmt.Sprintf("%04o", disk.DefaultDirMode) && unit("UMask") == "0077", "the unit's modes")
	check(drained(unit("TimeoutStopSec"), config.StopTimeout), "TimeoutStopSec is %s, stop_timeout %v", unit("TimeoutStopSec"), config.StopTimeout)
	check(unit("RestartPreventExitStatus") == fmt.Sprint(exitUsage) && unit("Restart") == "on-failure", "the unit's restart")
	check(unit("User") != "" && unit("User") != "root" && unit("Type") == "exec" && !strings.Contains(d.service, "\nWatchdogSec="), "the unit's user or type")
	for _, line := range []string{"NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "SystemCallFilter=@system-service", "MemoryDenyWriteExecute=yes"} {
		check(strings.Contains(d.service, "\n"+line+"\n"), "the unit has no %s", line)
	}
	check(slices.Contains(strings.Fields(unit("RestrictAddressFamilies")), "AF_UNIX"), "the unit forbids the socket")
	most, err1 := ops.ParseSize("MemoryMax", strings.Replace(unit("MemoryMax"), "G", "GiB", 1))
	soft, err2 := ops.ParseSize("GOMEMLIMIT", one(d.service, "Environment=GOMEMLIMIT="))
	check(err1 == nil && err2 == nil && 0 < soft && soft < most, "GOMEMLIMIT is %d, MemoryMax %d: %v, %v", soft, most, err1, err2)
	command := strings.Fields(unit("ExecStart"))
	check(len(command) > 1 && command[0] == "/usr/local/bin/gabion" && runs(command[1:]), "ExecStart is %q", command)
	check(slices.Contains(command, "/etc/gabion/gabion.yaml"), "ExecStart does not read the configuration")

	image := func(key string) string { return one(d.container, key+" ") }
	words := func(key string) []string {
		return strings.FieldsFunc(image(key), func(r rune) bool { return strings.ContainsRune(`[]", `, r) })
	}
	check(image("VOLUME") == dir && one(d.container, "ENV GABION_DIR=") == dir, "the image's directory is not %s", dir)
	check(strings.HasSuffix(image("ARG"), "golang:"+d.goVersion), "the image's Go is not %s", d.goVersion)
	check(strings.Contains(d.container, "CGO_ENABLED=0 go build") && strings.Contains(d.container, "-o /out/usr/local/bin/gabion ./cmd/gabion"), "the image's build")
	check(regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(image("USER")) && strings.Contains(d.container, "-o "+strings.Split(image("USER"), ":")[0]+" "), "the image's user is %s", image("USER"))
	check(strings.Contains(d.container, "\nFROM scratch\n") && image("STOPSIGNAL") == "SIGTERM", "the image's base or signal")
	entry := words("ENTRYPOINT")
	check(len(entry) == 1 && entry[0] == "/usr/local/bin/gabion" && runs(words("CMD")), "the image runs %q %q", entry, words("CMD"))
	_, probe, _ := strings.Cut(image("HEALTHCHECK"), "CMD ")
	probed := strings.FieldsFunc(probe, func(r rune) bool { return strings.ContainsRune(`[]", `, r) })
	check(len(probed) == 2 && probed[0] == "/usr/local/bin/gabion" && probed[1] == "health" && runs(probed[1:]), "HEALTHCHECK is %q", probed)

	check(drained(one(d.compose, "stop_grace_period:"), config.StopTimeout), "stop_grace_period is %s", one(d.compose, "stop_grace_period:"))
	check(strings.Contains(d.compose, "gabion:"+dir) && strings.Contains(d.compose, "cap_drop: [ALL]") && strings.Contains(d.compose, "docs/deploy/Containerfile"), "compose.yaml")
	for _, v := range regexp.MustCompile(`GABION_[A-Z_]+`).FindAllString(d.container+d.compose, -1) {
		check(slices.ContainsFunc(ops.Settings(), func(s ops.Setting) bool { return s.Variable() == v }), "there is no variable %s", v)
	}
	return faults
}

// runs tells whether there is such a command, with such flags.
func runs(args []string) bool {
	root := newRoot(&output{})
	cmd, rest, err := root.Find(args)
	return err == nil && cmd != root && cmd.ParseFlags(rest) == nil && len(cmd.Flags().Args()) == 0
}

func TestDeploy(t *testing.T) {
	d := readDeployment(t)
	for _, fault := range d.faults(t) {
		t.Error(fault)
	}
	// Each of these would make the files untrue.
	broken := func(text *string, from, to string) {
		t.Helper()
		whole := *text
		defer func() { *text = whole }()
		if *text = strings.Replace(whole, from, to, 1); *text == whole {
			t.Errorf("%q is nowhere", from)
		}
		if len(d.faults(t)) == 0 {
			t.Errorf("%q in place of %q passes", to, from)
		}
	}
	for from, to := range map[string]string{
		"TimeoutStopSec=45s": "TimeoutStopSec=30s", "--config": "--configuration", "gabion serve": "gabion server", "StateDirectory=gabion": "StateDirectory=other",
		"UMask=0077": "UMask=0022", "User=gabion": "User=root", "RestartPreventExitStatus=2": "RestartPreventExitStatus=1", "Type=exec": "Type=notify",
		"AF_UNIX ": "", "NoNewPrivileges=yes": "", "CapabilityBoundingSet=": "CapabilityBoundingSet=CAP_CHOWN", "MemoryMax=2G": "MemoryMax=1G", "RestartSec=5s": "WatchdogSec=5s",
		"gabion.yaml\n": "other.yaml\n",
	} {
		broken(&d.service, from, to)
	}
	for from, to := range map[string]string{"stop_timeout: 30s": "stop_timeout: 36s", "/var/lib/gabion": "/srv/gabion", "tables:": "table:"} {
		broken(&d.config, from, to)
	}
	for from, to := range map[string]string{
		"USER 65532:65532": "USER 0:0", "-o 65532": "-o 0", `"health"`: `"heal"`, "FROM scratch": "FROM debian", "CGO_ENABLED=0": "CGO_ENABLED=1", "SIGTERM": "SIGINT",
		"golang:" + d.goVersion: "golang:1.20", "VOLUME /var/lib/gabion": "VOLUME /data", `["serve"]`: `["server"]`, "ENV GABION_DIR": "ENV GABION_DIRECTORY",
	} {
		broken(&d.container, from, to)
	}
	for from, to := range map[string]string{"45s": "35s", "GABION_TABLES": "GABION_TABLE", "[ALL]": "[]"} {
		broken(&d.compose, from, to)
	}
}
