package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing/fstest"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/ppl"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/policies"
)

const importPurpose = `Turns Pomerium's configuration into a routes file and a policy set with data and tests:
routes (or the older policy), allowed_… keys and its policy language. What has no
equivalent here refuses, and is listed with its line, as is what is read more strictly.

Set routes and policy.path in gate.yaml to what it writes, after gate policy test and
gate check have seen it.`

// alsoRoles is a flag HOST=ROLE,ROLE that may be given more than once.
type alsoRoles map[string][]string

// String implements flag.Value.
func (a alsoRoles) String() string { return "" }

// Set implements flag.Value.
func (a alsoRoles) Set(s string) error {
	host, roles, ok := strings.Cut(s, "=")
	list := strings.Split(roles, ",")
	if !ok || host == "" || slices.Contains(list, "") {
		return errors.New("want HOST=ROLE,ROLE")
	}
	a[host] = list
	return nil
}

func policyImport(_ context.Context, args []string, s streams) int {
	f := flagSet("policy import-ppl", "gate policy import-ppl FILE [-o DIR]", importPurpose, s)
	dir := f.String("o", "imported", "`folder` to write to; files that are there are not written over")
	origin := f.String("gate", "", "the gate's own `origin` (default authenticate_service_url's, else one beside the hosts)")
	asJSON := f.Bool("json", false, "print the report as JSON")
	also := alsoRoles{}
	f.Var(also, "also-roles", "`HOST=ROLES`: whoever is let in there must hold one of these besides, for role\ntables that stand beside the file; may be given more than once")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	text, err := readBounded(rest[0], s.in, ppl.MaxSize+1)
	if err != nil {
		return fail(s.err, "policy import-ppl", err)
	}
	base, err := policies.Base()
	if err != nil {
		return fail(s.err, "policy import-ppl", err)
	}
	r, err := ppl.Import(text, ppl.Options{Name: filepath.Base(rest[0]), Gate: *origin, Also: also, Base: base})
	if err != nil {
		return fail(s.err, "policy import-ppl", err)
	}
	if err := soundImport(rest[0], r); err != nil {
		return fail(s.err, "policy import-ppl", err)
	}
	if err := writeNew(*dir, r.Files); err != nil {
		return fail(s.err, "policy import-ppl", err)
	}
	if *asJSON {
		out, err := r.JSON()
		fmt.Fprintf(s.out, "%s\n", out)
		return fail(s.err, "policy import-ppl", err)
	}
	fmt.Fprintf(s.out, "%s\nWritten to %s: routes %s\nNext: gate policy test %s\n", r.Files["REPORT.txt"], *dir, strings.Join(r.Routes, ", "), filepath.Join(*dir, "policies"))
	return exitOK
}

// soundImport compiles what would be written, as gate check does: a value that
// Pomerium takes and we do not is said before anything is there.
func soundImport(from string, r *ppl.Result) error {
	f, err := route.Parse(unwritten, r.Files["routes.yaml"])
	if err != nil {
		return fmt.Errorf("nothing was written: %s", atSource(err.Error(), from, r))
	}
	set := fstest.MapFS{}
	for name, text := range r.Files {
		if in, ok := strings.CutPrefix(name, "policies/"); ok {
			set[in] = &fstest.MapFile{Data: text}
		}
	}
	src, err := bundles.Load(set)
	if err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	cfg := config.Default()
	if _, err := engine.Compile(src, edge(&cfg, f)); err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	return nil
}

// unwritten is what messages call a routes file that is not there.
const unwritten = "routes.yaml, as it would be"

var (
	unwrittenLine = regexp.MustCompile(regexp.QuoteMeta(unwritten) + `:(\d+)`)
	nameLine      = regexp.MustCompile(`^ *- name: (\S+)$`)
)

// atSource has messages about a line of the routes file name the route, and its
// line in the file that was imported.
func atSource(text, from string, r *ppl.Result) string {
	lines := strings.Split(string(r.Files["routes.yaml"]), "\n")
	return unwrittenLine.ReplaceAllStringFunc(text, func(at string) string {
		n, _ := strconv.Atoi(unwrittenLine.FindStringSubmatch(at)[1]) // digits
		for i := min(n, len(lines)) - 1; i >= 0; i-- {
			if m := nameLine.FindStringSubmatch(lines[i]); m != nil && r.Lines[m[1]] > 0 {
				return fmt.Sprintf("%s:%d: route %s", from, r.Lines[m[1]], m[1])
			}
		}
		return unwritten
	})
}

// readBounded reads a file, or stdin for "-", of at most one byte less than most.
func readBounded(name string, stdin io.Reader, most int64) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(stdin, most))
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, most))
}

// writeNew writes files below dir, all or none: a file that is there is left as
// it is, and is an error.
func writeNew(dir string, files map[string][]byte) error {
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(name))); err == nil {
			return fmt.Errorf("%s is there already and nothing was written; name another folder, or take it away", filepath.Join(dir, filepath.FromSlash(name)))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		_, err = file.Write(files[name])
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}
