// Package axe has axe-core, the checker of pages against WCAG, for tests that
// have a browser.
package axe

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/neosc/gate/test/kit"
)

// Check is an expression that a page evaluates, once it has evaluated Script, to
// a promise of one text: what is wrong with it, a line for each place, "" for
// nothing. Every rule of axe-core counts, those of good practice included. It
// fetches nothing, which the policy of the page would not allow.
const Check = `axe.run(document, {resultTypes: ["violations"], preload: false})` + lines

// Contrast is Check for the contrast of colours alone: what else there is to see
// is the same in other colours.
const Contrast = `axe.run(document, {resultTypes: ["violations"], preload: false, runOnly: ["color-contrast"]})` + lines

const lines = `.then(r => r.violations.flatMap(v =>
	v.nodes.map(n => v.id + " (" + v.impact + "): " + n.target.join(" ") + ": " + n.any.concat(n.all, n.none).map(c => c.message).join("; "))).join("\n"))`

// Script is axe-core, for a page to evaluate.
func Script(t testing.TB) string {
	t.Helper()
	s, err := script()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// script installs it: once a process is enough.
var script = sync.OnceValues(func() (string, error) {
	root, err := kit.Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "test", "axe")
	if out, err := exec.Command("bash", filepath.Join(dir, "install.sh")).CombinedOutput(); err != nil {
		return "", fmt.Errorf("test/axe/install.sh: %w\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	return string(b), err
})
