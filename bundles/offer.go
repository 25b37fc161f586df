package bundles

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles/archive"
)

// DefaultTestTime bounds the tests of a bundle, all of them together: NeoSC's own
// 1,900 take some seconds. They run beside the requests, on one core.
const DefaultTestTime = 2 * time.Minute

// maxFailures is how many failing tests a refusal names.
const maxFailures = 5

// candidate is a policy set that may become active: all that can fail in it has
// been tried.
type candidate struct {
	program *engine.Program
	src     engine.Source
	bundle  *BundleStatus // nil: it came from a directory
	packed  []byte
}

// BundleStatus is what is known of a bundle that is active.
type BundleStatus struct {
	// ID is a hash over its content.
	ID string
	// Revision and Sequence are those of its manifest.
	Revision string
	Sequence uint64
	// Signature holds for it; zero if no keys are configured.
	Signature archive.Signature
	// Tests is how many of its tests were run and passed, in this process.
	Tests int
	// Kept: it was read from disk at the start, or by an operator's wish, and not
	// from the source.
	Kept bool
}

// Set makes a policy set and its tests of a bundle. A module outside the
// bundle's roots is an error.
func Set(a *archive.Archive) (src engine.Source, tests map[string]string, err error) {
	l := loader{src: engine.Source{Modules: map[string]string{}, Data: map[string]any{}, Revision: a.Manifest.Revision}}
	tests = map[string]string{}
	for i := range a.Files {
		f := &a.Files[i]
		module, test := f.Rego()
		switch {
		case module:
			if err := owned(a, f); err != nil {
				return src, nil, err
			}
			if test {
				tests[f.Name] = string(f.Text)
			} else {
				l.src.Modules[f.Name] = string(f.Text)
			}
		case f.Data():
			if err := l.value(f.Name, f.Value); err != nil {
				return src, nil, fmt.Errorf("bundle: %w", err)
			}
		}
	}
	return l.src, tests, nil
}

// owned keeps a bundle from having rules where its manifest says it has none.
// What does not parse is for the compiler to say.
func owned(a *archive.Archive, f *archive.File) error {
	if a.Manifest.Owns("") {
		return nil
	}
	if at, err := archive.PackageOf(f); err == nil && !a.Manifest.Owns(at) {
		return fmt.Errorf("bundle: %s: package %s lies outside the roots %q", f.Name, strings.ReplaceAll(at, "/", "."), a.Manifest.Roots)
	}
	return nil
}

// examined reads a bundle, and says what is wrong with its form and signature.
func (m *Manager) examined(packed []byte) (*archive.Archive, archive.Signature, error) {
	defer m.opt.Busy()()
	if m.opt.Trust == nil {
		a, err := archive.Read(packed)
		return a, archive.Signature{}, err
	}
	return m.opt.Trust.Read(packed, m.opt.Now())
}

// candidateOf makes a candidate of a bundle, whose tests have passed if test
// says to run them. It is not compiled yet.
func (m *Manager) candidateOf(a *archive.Archive, s archive.Signature, packed []byte, test bool) (*candidate, error) {
	defer m.opt.Busy()()
	src, tests, err := Set(a)
	if err != nil {
		return nil, err
	}
	src.EntryPoint, src.Timeout = m.opt.EntryPoint, m.opt.Timeout
	if src.Revision == "" {
		src.Revision = a.ID[:16]
	}
	c := &candidate{src: src, packed: packed, bundle: &BundleStatus{
		ID: a.ID, Revision: src.Revision, Sequence: a.Manifest.Sequence, Signature: s, Kept: !test,
	}}
	if test && len(tests) > 0 {
		c.bundle.Tests, err = m.tested(src, tests)
	}
	return c, err
}

// tested runs the tests of a bundle.
func (m *Manager) tested(src engine.Source, tests map[string]string) (passed int, err error) {
	return RunTests(context.Background(), src, tests, m.opt.Edge, cmp.Or(m.opt.TestTime, DefaultTestTime))
}

// RunTests runs all tests of a policy set within a time, as is done before a
// bundle becomes active, and returns how many passed; any that failed is an
// error. They know the gate's built-ins only: one that could call http.send would
// have the gate make requests.
func RunTests(ctx context.Context, src engine.Source, tests map[string]string, edge engine.Edge, limit time.Duration) (passed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	report, err := engine.RunTests(ctx, src, tests, edge, engine.TestOptions{Timeout: limit})
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return 0, fmt.Errorf("the bundle's tests did not end within %s", limit)
	case err != nil:
		return 0, err
	}
	var failed []string
	for i := range report.Tests {
		t := &report.Tests[i]
		switch {
		case t.Passed():
			passed++
		case !t.Skipped:
			failed = append(failed, fmt.Sprintf("%s (%s:%d)%s", t.Name, t.File, t.Line, because(t.Err)))
		}
	}
	if n := len(failed); n > 0 {
		return passed, fmt.Errorf("%d of the bundle's %d tests failed: %s", n, len(report.Tests), strings.Join(failed[:min(n, maxFailures)], ", "))
	}
	return passed, nil
}

func because(err string) string {
	if err == "" {
		return ""
	}
	return ": " + err
}

// readBounded reads a file of at most as many bytes as a bundle may have.
func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is no regular file", name))
	}
	return io.ReadAll(io.LimitReader(f, archive.MaxPacked+1)) // one more, and Read refuses it
}
