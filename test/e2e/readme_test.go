package e2e

import (
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
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the tour stops: %v\n%s", err, out)
	}
	rest := string(out)
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Fatalf("the tour does not print %q where it says so\n%s", w, out)
		}
		rest = after
	}
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
