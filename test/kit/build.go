package kit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
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
	// Linking takes as long as many a test: what is there already, of other
	// packages' tests, is left as it is by go build if it is of today's sources.
	shared := filepath.Join(root, ".tools", "gates", "gate")
	args := []string{"build", "-o", shared}
	if Race {
		shared += "-race"
		args = []string{"build", "-race", "-o", shared}
	}
	if err := os.MkdirAll(filepath.Dir(shared), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(shared+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() // lets go
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	cmd := exec.Command("go", append(args, "./cmd/gate")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/gate: %w\n%s", err, out)
	}
	// Sources may change while the tests run, and the next build with them.
	dir, err := os.MkdirTemp(filepath.Dir(shared), "run")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "gate")
	return bin, os.Link(shared, bin)
})

// Cleanup removes what Gate built. Call it at the end of TestMain.
func Cleanup() {
	if bin, err := gate(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
}
