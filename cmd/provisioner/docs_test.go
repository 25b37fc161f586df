package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/neosc/gate/cmd/provisioner/internal/config"
)

// TestSampleAndManualAreRight: both are configurations that load.
func TestSampleAndManualAreRight(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../../docs/provisioner.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(manual)
	if block == nil {
		t.Fatal("docs/provisioner.md has no configuration")
	}
	file := filepath.Join(t.TempDir(), "provisioner.yaml")
	if err := os.WriteFile(file, block[1], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{file, "../../deploy/provisioner/provisioner.yaml"} {
		if c, err := config.Load(f); err != nil || c.Workspaces["desktop"].Image == "" {
			t.Errorf("%s: %v", f, err)
		}
	}
}
