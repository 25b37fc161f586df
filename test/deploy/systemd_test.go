package deploy

import (
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var units = []string{"../../deploy/systemd/neosc-gate.service", "../../deploy/systemd/neosc-envoy.service", "../../deploy/systemd/neosc-provisioner.service", "../../deploy/systemd/neosc-gate-backup.service"}

func TestUnitsAreWhatSystemdUnderstands(t *testing.T) {
	out, _ := exec.Command("systemd-analyze", append([]string{"verify", "--man=no", "../../deploy/systemd/neosc-gate-backup.timer"}, units...)...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		// The programs are not installed where tests run.
		if !strings.Contains(line, "is not executable: No such file or directory") {
			t.Error(strings.TrimSpace(line))
		}
	}
}

// TestUnitsAreConfined holds systemd's own exposure score (0 best, 10 worst).
func TestUnitsAreConfined(t *testing.T) {
	for i, most := range []float64{2, 4, 2, 2} {
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", units[i]).CombinedOutput()
		m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
		if m == nil {
			t.Fatalf("systemd-analyze security: %v\n%s", err, out)
		}
		if score, _ := strconv.ParseFloat(string(m[1]), 64); score > most {
			t.Errorf("%s has an exposure of %v, want at most %v", units[i], score, most)
		}
	}
}
