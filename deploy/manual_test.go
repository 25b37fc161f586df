package deploy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// made returns the names of the gate's metrics, without prefix: what the source
// puts behind a prefix, or gives to a function that does.
func made(t *testing.T) map[string]bool {
	t.Helper()
	form := regexp.MustCompile(`^[a-z]+(?:_[a-z0-9]+)+$`)
	names := map[string]bool{}
	take := func(x ast.Expr) {
		if lit, ok := x.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil && form.MatchString(s) {
				names[s] = true
			}
		}
	}
	err := filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); p != ".." && (strings.HasPrefix(n, ".") || slices.Contains([]string{"testdata", "test", "out", "bin", "provisioner"}, n)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, 0)
		if err != nil || !importsPrometheus(f) {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if n.Op == token.ADD {
					take(n.Y)
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "counter" && len(n.Args) > 0 {
					take(n.Args[0])
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 80 {
		t.Fatalf("found only %d metrics; is the test in its place?", len(names))
	}
	return names
}

// TestTheManualListsEveryMetric holds the tables of docs/operations.md to the
// program: each metric has a row, and no row has one that is not there.
func TestTheManualListsEveryMetric(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 2 && strings.Contains(cells[1], "`"+prefix) {
			for _, m := range metricName.FindAllString(cells[1], -1) {
				listed[strings.TrimPrefix(m, prefix)] = true
			}
		}
	}
	have := made(t)
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if !listed[name] {
			t.Errorf("docs/operations.md has no row for %s%s", prefix, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if !have[name] {
			t.Errorf("docs/operations.md has %s%s, which the program does not make", prefix, name)
		}
	}
}
