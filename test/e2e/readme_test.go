package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/neosc/gate/test/kit"
)

var (
	tourBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	expected  = regexp.MustCompile(`(?m)\s*# → (.+)$`)
)

// TestTheReadmesTourRuns pastes the README's tour, block by block, into one
// shell beside a running demo; what stands behind "# →" must be printed. Port,
// state and policies are the test's own, nothing else is changed.
func TestTheReadmesTourRuns(t *testing.T) {
	t.Parallel()
	root, err := kit.Root()
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if out, err := exec.Command("cp", "-r", filepath.Join(root, "policies"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	d := kit.StartDemo(t, kit.DemoOptions{State: filepath.Join(dir, ".state"), Policy: filepath.Join(dir, "policies")})
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(d.Bin, filepath.Join(dir, "bin", "gate")); err != nil {
		t.Fatal(err)
	}
	blocks := tourBlock.FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 4 {
		t.Fatalf("the README has %d blocks of commands; where is the tour?", len(blocks))
	}
	script := "set -eu\n"
	var want []string
	for i, b := range blocks {
		for _, m := range expected.FindAllStringSubmatch(b[1], -1) {
			want = append(want, m[1])
		}
		script += "echo '== block " + strconv.Itoa(i) + "'\n" + b[1]
	}
	script = strings.ReplaceAll(script, ":8080", ":"+strconv.Itoa(d.Port))
	amiss := toured(t, dir, script, want)
	// What a person waits for between two commands is not enough on a machine that
	// does much else: then from the start, with longer pauses.
	for _, factor := range []float64{5, 15} {
		if amiss == "" {
			return
		}
		t.Logf("once more: %s", amiss)
		if out, err := exec.Command("cp", "-r", filepath.Join(root, "policies"), dir).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		amiss = toured(t, dir, "sleep 10\n"+pause.ReplaceAllStringFunc(script, func(s string) string {
			n, _ := strconv.ParseFloat(pause.FindStringSubmatch(s)[1], 64)
			return fmt.Sprintf("sleep %g", n*factor)
		}), want)
	}
	if amiss != "" {
		t.Error(amiss)
	}
}

var pause = regexp.MustCompile(`\bsleep ([0-9.]+)`)

// toured runs the tour and returns what is amiss with it, or "".
func toured(t *testing.T, dir, script string, want []string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("the tour stops: %v\n%s", err, out)
	}
	rest := string(out)
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			return fmt.Sprintf("the tour does not print %q where it says so\n%s", w, out)
		}
		rest = after
	}
	return ""
}

func TestTheReadmeNamesBothCommands(t *testing.T) {
	root, err := kit.Root()
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"make run", "make test"} {
		if !strings.Contains(string(readme), c) {
			t.Errorf("the README lacks %q", c)
		}
	}
}
