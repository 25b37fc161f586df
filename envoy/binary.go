package envoy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Version is the Envoy that the configuration is written for and tested with;
// requirements.txt pins the same one.
const Version = "1.40.0"

// EnvBinary names the Envoy binary to use.
const EnvBinary = "GATE_ENVOY"

// installed is where envoy/install.sh puts the binary, below the project.
const installed = ".tools/envoy/envoy"

// FindBinary returns the path of the Envoy to run: the one that the variable
// GATE_ENVOY names, else .tools/envoy/envoy in the current folder or one above
// it, or beside or above this program, else the one in PATH. The error says how
// to get one.
func FindBinary() (string, error) {
	if path := os.Getenv(EnvBinary); path != "" {
		if !executable(path) {
			return "", fmt.Errorf("%s=%s is no program; let it name an Envoy binary or unset it", EnvBinary, path)
		}
		return path, nil
	}
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if self, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(self))
	}
	for _, dir := range starts {
		for {
			if path := filepath.Join(dir, installed); executable(path) {
				return path, nil
			}
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("no Envoy found; run sh envoy/install.sh, put envoy into PATH, or set %s to its path", EnvBinary)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// validateTimeout is far above the 0.1 s that a validation takes.
const validateTimeout = 30 * time.Second

// Validate lets the Envoy at binary judge a bootstrap in YAML or JSON, without opening
// a port. The error is one line with Envoy's own complaint.
func Validate(ctx context.Context, binary string, bootstrap []byte) error {
	dir, err := os.MkdirTemp("", "gate-validate-")
	if err != nil {
		return fmt.Errorf("validating the bootstrap: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "bootstrap.yaml")
	if bytes.HasPrefix(bootstrap, []byte("{")) {
		path = filepath.Join(dir, "bootstrap.json")
	}
	if err := os.WriteFile(path, bootstrap, 0o600); err != nil {
		return fmt.Errorf("validating the bootstrap: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, validateTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "--mode", "validate", "--config-path", path, "--log-level", "error")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	switch exit := (*exec.ExitError)(nil); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("envoy did not validate the bootstrap: %w", ctx.Err())
	case !errors.As(err, &exit):
		return fmt.Errorf("envoy %s does not start: %w", binary, err)
	}
	return fmt.Errorf("envoy refuses the configuration: %s", complaint(string(out), path))
}

var logPrefix = regexp.MustCompile(`^(\[[^\]]*\])+ (\[[^\]]*\] )?`)

// maxComplaint bounds what is shown of Envoy's message.
const maxComplaint = 600

// complaint finds the one line of Envoy's output that says what is wrong.
func complaint(out, path string) string {
	best := ""
	for line := range strings.Lines(out) {
		text := strings.TrimSpace(logPrefix.ReplaceAllString(line, ""))
		if text == "" || strings.HasPrefix(text, "configuration '") {
			continue
		}
		if rest, ok := strings.CutPrefix(text, "error initializing configuration '"+path+"': "); ok {
			text = rest
		}
		if len(text) > len(best) {
			best = text
		}
	}
	if best == "" {
		return "it did not say why"
	}
	if len(best) > maxComplaint {
		best = best[:maxComplaint] + "…"
	}
	return best
}
