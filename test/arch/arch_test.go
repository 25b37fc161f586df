// Package arch holds the rules of the house as tests: which room may import
// which, where outside libraries may appear, and what every package must say
// of itself. It reads the source files itself, so that a cached result can
// never hide a change.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/neosc/gate/"

// file is one Go file: its package folder and what it imports.
type file struct {
	path, dir string
	test      bool
	imports   []string
	ast       *ast.File
	lines     int
}

func load(t *testing.T) []file {
	t.Helper()
	root := filepath.Join("..", "..")
	fset := token.NewFileSet()
	var files []file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		if d.IsDir() {
			if n := d.Name(); rel != "." && (strings.HasPrefix(n, ".") || n == "testdata" || n == "node_modules" || n == "out" || rel == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, p, src, parser.ParseComments)
		if err != nil {
			return err
		}
		x := file{path: filepath.ToSlash(rel), dir: filepath.ToSlash(filepath.Dir(rel)), test: strings.HasSuffix(p, "_test.go"), ast: f, lines: strings.Count(string(src), "\n")}
		for _, i := range f.Imports {
			name, _ := strconv.Unquote(i.Path.Value)
			x.imports = append(x.imports, name)
		}
		files = append(files, x)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found only %d Go files; is the test in its place?", len(files))
	}
	return files
}

// mayImport reports whether a package in room from may import room to: a child
// its parents, anyone the domain above it, and the composition root everything.
func mayImport(from, to string) bool {
	under := func(dir, room string) bool { return dir == room || strings.HasPrefix(dir, room+"/") }
	if owner, _, internal := strings.Cut(to, "/internal/"); internal && under(from, owner) {
		return true // what a room keeps to itself is for the whole room
	}
	switch {
	case under(from, "cmd/provisioner"):
		return under(to, "cmd/provisioner")
	case under(from, "cmd/gate"), under(from, "test"):
		return true
	case from == "session" || from == "policies":
		return false
	case from == "session/storetest":
		// The stores' tests, of which some are about whole gates.
		return under(to, "session")
	case under(from, "session"):
		// claims is the one reading of what providers say of a person, shared by
		// all that ask providers. Whatever of the web shows pages renders them in one
		// place.
		return to == "session" || to == "session/web/pages" && under(from, "session/web") || to == "session/claims" || under(from, to) || under(to, from)
	case from == "authz":
		return to == "session"
	case under(from, "authz"):
		return to == "session" || to == "authz" || under(from, to) || under(to, from)
	case from == "envoy":
		return under(to, "authz/route") || to == "authz"
	case under(from, "bundles"):
		// Recorded decisions are read in one place, for whoever replays them.
		return to == "authz/engine" || to == "authz" || to == "session" || to == "authz/observe/decisionlog" || under(to, "bundles")
	default:
		return false
	}
}

func TestImportsPointOneWay(t *testing.T) {
	for _, f := range load(t) {
		if f.test { // tests may meet anyone
			continue
		}
		for _, i := range f.imports {
			to, ours := strings.CutPrefix(i, module)
			if ours && to != f.dir && !mayImport(f.dir, to) {
				t.Errorf("%s imports %s: %s may not know that room; take what it needs as an interface declared in session or authz and let cmd/gate join them", f.path, to, f.dir)
			}
		}
	}
}

func TestOutsideLibrariesStayInTheirRooms(t *testing.T) {
	rules := []struct {
		library string
		rooms   []string
	}{
		{"github.com/open-policy-agent/opa", []string{"authz/engine", "bundles"}},
		{"github.com/redis/go-redis", []string{"authz/limit/redislimit", "session/redisstore"}},
		{"github.com/jackc/pgx", []string{"session/sqlstore"}},
		{"github.com/pressly/goose", []string{"session/sqlstore"}},
		{"github.com/coreos/go-oidc", []string{"session/oidclogin", "session/bearer"}},
		{"github.com/envoyproxy/go-control-plane", []string{"authz/extauthz", "authz/leash", "envoy"}},
	}
	for _, f := range load(t) {
		if f.test || strings.HasPrefix(f.dir, "test/") || f.dir == "test" {
			continue
		}
		for _, i := range f.imports {
			for _, r := range rules {
				if !strings.HasPrefix(i, r.library) {
					continue
				}
				if !slices.ContainsFunc(r.rooms, func(room string) bool { return f.dir == room || strings.HasPrefix(f.dir, room+"/") }) {
					t.Errorf("%s imports %s, which belongs to %s only", f.path, i, strings.Join(r.rooms, ", "))
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	comment := map[string]bool{}
	for _, f := range load(t) {
		if f.test && comment[f.dir] {
			continue
		}
		comment[f.dir] = comment[f.dir] || (f.ast.Doc != nil && len(strings.TrimSpace(f.ast.Doc.Text())) > 40)
	}
	for dir, has := range comment {
		if !has {
			t.Errorf("package %s has no package comment that says what the room is for", dir)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, f := range load(t) {
		if f.test || strings.HasPrefix(f.dir, "cmd/") {
			continue
		}
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					t.Errorf("%s: %s has no doc comment", f.path, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && ts.Doc == nil && d.Doc == nil {
						t.Errorf("%s: type %s has no doc comment", f.path, ts.Name.Name)
					}
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	switch x := d.Recv.List[0].Type.(type) {
	case *ast.StarExpr:
		id, ok := x.X.(*ast.Ident)
		return ok && id.IsExported()
	case *ast.Ident:
		return x.IsExported()
	}
	return true
}

func TestFilesStayReadable(t *testing.T) {
	const most = 400
	for _, f := range load(t) {
		if f.lines > most && !strings.HasSuffix(f.path, "_gen.go") {
			t.Errorf("%s has %d lines; over %d it asks to be split along a real seam", f.path, f.lines, most)
		}
	}
}

func TestTopLevelHoldsTheRoomsAndNothingElse(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{"cmd", "authz", "policies", "bundles", "envoy", "session", "test", "deploy", "docs", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "CONTRIBUTING.md", "out", "bin", "__pycache__"}
	for _, e := range entries {
		if n := e.Name(); !strings.HasPrefix(n, ".") && !slices.Contains(allowed, n) {
			t.Errorf("%s stands at the top level; the rooms are %s", path.Clean(n), strings.Join(allowed[:9], " "))
		}
	}
}
