package envoy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/neosc/gate/envoy"
)

// program writes an executable that does nothing.
func program(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindBinaryLooksInOrder(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(below)
	t.Setenv(envoy.EnvBinary, "")
	t.Setenv("PATH", filepath.Join(root, "bin"))
	if got, err := envoy.FindBinary(); err == nil || !strings.Contains(err.Error(), "envoy/install.sh") {
		t.Errorf("without any Envoy: %q, %v", got, err)
	}
	steps := []string{
		program(t, filepath.Join(root, "bin", "envoy")),
		program(t, filepath.Join(root, ".tools", "envoy", "envoy")),
		program(t, filepath.Join(root, "a", ".tools", "envoy", "envoy")),
	}
	for i := range steps { // the nearest wins, PATH comes last
		for _, later := range steps[i+1:] {
			if err := os.Chmod(later, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(steps[i], 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := envoy.FindBinary(); err != nil || got != steps[i] {
			t.Errorf("found %q, %v; want %q", got, err, steps[i])
		}
	}
	named := program(t, filepath.Join(root, "my-envoy"))
	t.Setenv(envoy.EnvBinary, named)
	if got, err := envoy.FindBinary(); err != nil || got != named {
		t.Errorf("GATE_ENVOY gave %q, %v", got, err)
	}
	t.Setenv(envoy.EnvBinary, below)
	if _, err := envoy.FindBinary(); err == nil || !strings.Contains(err.Error(), envoy.EnvBinary) {
		t.Errorf("a folder as GATE_ENVOY gave %v", err)
	}
}

// The script finds what is installed without asking the network, and says in
// one line what is missing.
func TestInstallScript(t *testing.T) {
	t.Parallel()
	want := envoyBinary(t)
	requirements, err := os.ReadFile("requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "tools", "envoy")
	program(t, filepath.Join(target, "envoy"))
	if err := os.WriteFile(filepath.Join(target, "installed.txt"), requirements, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "install.sh", target).Output()
	if err != nil || strings.TrimSpace(string(out)) != filepath.Join(target, "envoy") {
		t.Errorf("an installed Envoy gave %q, %v", out, err)
	}
	version, err := exec.Command(want, "--version").Output()
	if err != nil || !strings.Contains(string(version), "/1.40.0/") {
		t.Errorf("the tests run with %q, %v", version, err)
	}
	cmd := exec.Command("/bin/sh", "install.sh", filepath.Join(t.TempDir(), "envoy"))
	cmd.Env = []string{"PATH=" + withoutPython(t)}
	out, err = cmd.CombinedOutput()
	if err == nil || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "python3-venv") {
		t.Errorf("without Python: %q, %v", out, err)
	}
}

// withoutPython is a PATH with only what the script needs before it looks for
// Python; id says that nobody is root, so that nothing gets installed.
func withoutPython(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, tool := range []string{"dirname", "mkdir", "cmp"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, tool)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "id"), []byte("#!/bin/sh\necho 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestArgsRunEnvoyAlone(t *testing.T) {
	t.Parallel()
	args := envoy.Args("/x/envoy.yaml", 0)
	if !slices.Contains(args, "--disable-hot-restart") || slices.Contains(args, "--concurrency") {
		t.Errorf("got %v", args)
	}
}
