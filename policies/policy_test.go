package policies_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/policies"
)

// sources returns the policy's files on disk: what a bundle of it holds, and
// the tests beside it.
func sources(t *testing.T) (shipped, tests []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "testdata":
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(path) == ".go":
			return nil
		case strings.HasSuffix(path, "_test.rego"):
			tests = append(tests, filepath.ToSlash(path))
		default:
			shipped = append(shipped, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return shipped, tests
}

// A rule that is forgotten in the list of embedded files would be tested and
// not shipped.
func TestEmbeddedFilesAreThoseOnDisk(t *testing.T) {
	t.Parallel()
	shipped, _ := sources(t)
	var embedded []string
	err := fs.WalkDir(policies.Files(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		embedded = append(embedded, path)
		want, err := os.ReadFile(filepath.FromSlash(path))
		if err != nil {
			return err
		}
		if got, err := fs.ReadFile(policies.Files(), path); err != nil || string(got) != string(want) {
			t.Errorf("%s: embedded text is not that on disk (error: %v)", path, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(shipped)
	slices.Sort(embedded)
	if !slices.Equal(embedded, shipped) {
		t.Errorf("embedded files\n %v\nfiles on disk\n %v", embedded, shipped)
	}
	for _, name := range []string{policies.DataFile, policies.SchemaFile} {
		if !slices.Contains(embedded, name) {
			t.Errorf("%s is not among the files", name)
		}
	}
}

// opa runs the pinned opa command and returns what it prints.
func opa(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	modfile := filepath.Join("..", "test", "tools", "go.mod")
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool", "-modfile=" + modfile, "opa"}, args...)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("opa %s: %v\n%s%s", args[0], err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

func regoFiles(files ...[]string) []string {
	return slices.DeleteFunc(slices.Concat(files...), func(name string) bool {
		return filepath.Ext(name) != ".rego"
	})
}

func TestRegoIsFormatted(t *testing.T) {
	t.Parallel()
	shipped, tests := sources(t)
	if diff := opa(t, append([]string{"fmt", "-d"}, regoFiles(shipped, tests)...)...); diff != "" {
		t.Errorf("mend with opa fmt -w:\n%s", diff)
	}
}

func TestRegoPassesTheStrictCheckAgainstTheSchema(t *testing.T) {
	t.Parallel()
	opa(t, "check", "--strict", "--schema", "schema", "--bundle", ".", "--ignore", "testdata")
}

func TestRegoTestsPassAndCoverEveryLine(t *testing.T) {
	t.Parallel()
	shipped, tests := sources(t)
	// Named one by one: with --bundle, opa files coverage under doubled names.
	args := append([]string{"test", "--coverage", "--format=json", "--timeout=120s", policies.DataFile},
		regoFiles(shipped, tests)...)
	var report struct {
		Files map[string]struct {
			Coverage   float64 `json:"coverage"`
			NotCovered []struct {
				Start struct {
					Row int `json:"row"`
				} `json:"start"`
			} `json:"not_covered"`
		} `json:"files"`
	}
	if err := json.Unmarshal([]byte(opa(t, args...)), &report); err != nil {
		t.Fatal(err)
	}
	for _, name := range regoFiles(shipped) {
		file, ok := report.Files[name]
		if !ok {
			t.Errorf("%s: no line is covered", name)
			continue
		}
		if len(file.NotCovered) > 0 || file.Coverage < 100 {
			t.Errorf("%s: %.1f%% of the lines are covered", name, file.Coverage)
		}
		for _, gap := range file.NotCovered {
			t.Errorf("%s:%d: no test comes here", name, gap.Start.Row)
		}
	}
}
