package decisionlog

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// However the log is turned over while its files are opened, each record is read
// once.
func TestALogThatIsTurnedOverWhileItIsOpenedIsReadWhole(t *testing.T) {
	t.Parallel()
	for at := range 5 {
		for steps := -5; steps <= 5; steps++ { // below 0, the oldest has no further number
			file := filepath.Join(t.TempDir(), "d.ndjson")
			for i, text := range []string{"3", "2", "1", "0"} {
				name := file
				if i > 0 {
					name = numbered(file, i)
				}
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			turn := func(n int) {
				for i := 3; i >= 0 && n > 0; i, n = i-1, n-1 {
					from := file
					if i > 0 {
						from = numbered(file, i)
					}
					to := numbered(file, i+1)
					if i == 3 && steps < 0 {
						to = filepath.Join(filepath.Dir(file), "gone")
					}
					if err := os.Rename(from, to); err != nil {
						t.Error(err)
					}
				}
				if n > 0 {
					if err := os.WriteFile(file, []byte("4"), 0o600); err != nil {
						t.Error(err)
					}
				}
			}
			opened := 0
			files, err := openAll(file, func(name string) (*os.File, error) {
				if opened++; opened == at+1 {
					turn(max(steps, -steps))
				}
				return os.Open(name)
			})
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, f := range files {
				text, err := io.ReadAll(f)
				if err != nil {
					t.Error(err)
				}
				got.Write(text)
			}
			closeAll(files)
			if text := strings.TrimSuffix(got.String(), "4"); text != "0123" && (steps > 0 || text != "123") {
				t.Errorf("%d files open, then %d steps: read %q", at, steps, got.String())
			}
		}
	}
}

func TestALogThatNeverStandsStillIsAnError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "d.ndjson")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := openAll(file, func(name string) (*os.File, error) { return nil, fmt.Errorf("open: %w", os.ErrNotExist) })
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Error(err)
	}
}
