package kit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Root returns the project's folder: the nearest one above with a go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod here or above")
		}
		dir = up
	}
}

// Gate builds cmd/gate once a process, with the race detector where the tests
// have it, and returns the binary's path. It lies in a folder that Cleanup
// removes.
func Gate() (string, error) { return gate() }

var gate = sync.OnceValues(func() (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "gatebin")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "gate")
	args := []string{"build", "-o", bin}
	if Race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/gate")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/gate: %w\n%s", err, out)
	}
	return bin, nil
})

// Cleanup removes what Gate built. Call it at the end of TestMain.
func Cleanup() {
	if bin, err := gate(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
}
