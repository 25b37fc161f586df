package bundles_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
)

// A small policy whose two outputs must agree: the reason comes from data, the
// header from the rule.
const ruleText = `package neosc.authz

decision := {
	"allowed": allowed,
	"reasons": [data.neosc.word],
	"headers": {"x-session-id": "WORD"},
}

default allowed := false

allowed if input.session.roles[_] in data.neosc.roles
`

type place struct {
	t       *testing.T
	dir     string
	manager *bundles.Manager
	engine  *engine.Engine
	changes chan bundles.Status
}

func newPlace(t *testing.T) *place {
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, dir: filepath.Join(t.TempDir(), "policy"), engine: e, changes: make(chan bundles.Status, 100)}
	p.manager, err = bundles.New(bundles.Options{
		Engine: e, Edge: engine.Edge{Settable: []string{"x-session-id"}, ResponseSettable: []string{"x-session-id"}},
		Dir: p.dir, Logger: slog.New(slog.DiscardHandler), Quiet: 5 * time.Millisecond, Timeout: 10 * time.Second,
		Notify: func(s bundles.Status) { p.changes <- s },
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *place) write(name, text string) {
	p.t.Helper()
	name = filepath.Join(p.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		p.t.Fatal(err)
	}
}

// replace writes a file at once: nobody sees it empty, which is another policy.
func (p *place) replace(name, text string) {
	p.t.Helper()
	next := p.dir + ".next"
	if err := errors.Join(os.WriteFile(next, []byte(text), 0o644), os.Rename(next, filepath.Join(p.dir, name))); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) set(word, roles string) {
	p.write("authz.rego", strings.ReplaceAll(ruleText, "WORD", word))
	p.write("neosc/data.json", fmt.Sprintf(`{"word": %q, "roles": [%q]}`, word, roles))
}

func (p *place) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.manager.Run(ctx) }()
	p.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	})
}

// await returns the first status for which ok holds.
func (p *place) await(ok func(bundles.Status) bool) bundles.Status {
	p.t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case s := <-p.changes:
			if ok(s) {
				return s
			}
		case <-late:
			p.t.Fatalf("it did not happen; status is %+v", p.manager.Status())
		}
	}
}

// decides waits until the active policy says want.
func (p *place) decides(want string) {
	p.t.Helper()
	p.await(func(s bundles.Status) bool {
		if s.LastError != nil {
			return false
		}
		d, err := p.engine.Decide(context.Background(), request("portal", "neosc"))
		return err == nil && d.Reasons[0] == want && d.Headers[0].Value == want
	})
}

func TestWatchFollowsEveryKindOfChange(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.set("one", "neosc")
	p.run()
	p.decides("one")
	p.set("two", "neosc")
	p.decides("two")

	// A file that is put in place by a rename, as editors do.
	p.write("authz.rego~", strings.ReplaceAll(ruleText, "WORD", "three"))
	p.write("neosc/data.json~", `{"word": "three", "roles": []}`)
	for _, f := range []string{"authz.rego", "neosc/data.json"} {
		if err := os.Rename(filepath.Join(p.dir, f+"~"), filepath.Join(p.dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	p.decides("three")

	// A new folder, and then a change in it.
	p.write("neosc/extra/data.yaml", "a: 1\n")
	p.await(func(s bundles.Status) bool { return s.LastError == nil })
	before := p.manager.Status()
	p.write("neosc/extra/data.yaml", "a: 2\n")
	p.await(func(s bundles.Status) bool { return s.Revision != before.Revision })

	// The whole directory replaced.
	old := p.dir + ".old"
	if err := os.Rename(p.dir, old); err != nil {
		t.Fatal(err)
	}
	p.set("four", "neosc")
	p.decides("four")
	p.set("five", "neosc")
	p.decides("five")
}

func TestWatchFollowsASymbolicLinkThatMoves(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	link := p.dir
	for _, word := range []string{"one", "two"} {
		p.dir = link + "." + word
		p.set(word, "neosc")
	}
	p.dir = link
	if err := os.Symlink(link+".one", link); err != nil {
		t.Fatal(err)
	}
	p.run()
	p.decides("one")
	if err := errors.Join(os.Symlink(link+".two", link+".new"), os.Rename(link+".new", link)); err != nil {
		t.Fatal(err)
	}
	p.decides("two")
	p.set("three", "neosc")
	p.decides("three")
}

func TestAMountOfKubernetesIsRead(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.write("..2026_03_05/authz.rego", strings.ReplaceAll(ruleText, "WORD", "one"))
	p.write("..2026_03_05/data.yaml", "neosc: {word: one, roles: [neosc]}\n")
	for link, to := range map[string]string{"..data": "..2026_03_05", "authz.rego": "..data/authz.rego", "data.yaml": "..data/data.yaml"} {
		if err := os.Symlink(to, filepath.Join(p.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	p.run()
	p.decides("one")
	p.write("..2026_03_06/authz.rego", strings.ReplaceAll(ruleText, "WORD", "two"))
	p.write("..2026_03_06/data.yaml", "neosc: {word: two, roles: [neosc]}\n")
	if err := errors.Join(os.Symlink("..2026_03_06", filepath.Join(p.dir, "..new")),
		os.Rename(filepath.Join(p.dir, "..new"), filepath.Join(p.dir, "..data"))); err != nil {
		t.Fatal(err)
	}
	p.decides("two")
}

func TestABrokenSetChangesNothing(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.set("one", "neosc")
	p.run()
	p.decides("one")
	good := p.manager.Status()
	for name, text := range map[string]string{
		"Syntax": "package neosc.authz\n\ndecision := {", "Builtin": "package neosc.authz\n\ndecision := http.send({})",
		"NoEntryPoint": "package neosc.authz\n\nallow := true", "Header": "package neosc.authz\n\ndecision := input.attributes.request.http.headers.dnt == \"1\"",
	} {
		p.replace("authz.rego", text)
		s := p.await(func(s bundles.Status) bool { return s.LastError != nil })
		if s.Revision != good.Revision || s.Generation != good.Generation || !s.LoadedAt.Equal(good.LoadedAt) {
			t.Errorf("%s: status is %+v, want the one before", name, s)
		}
		if d, err := p.engine.Decide(context.Background(), request("portal", "neosc")); err != nil || d.Reasons[0] != "one" {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		p.replace("authz.rego", strings.ReplaceAll(ruleText, "WORD", "one"))
		for p.manager.Status().LastError != nil {
			if err := p.manager.Reload(); err != nil {
				t.Fatal(err)
			}
		}
		if s := p.manager.Status(); s.Generation != good.Generation {
			t.Errorf("%s: taking it back made generation %d of %d", name, s.Generation, good.Generation)
		}
	}
}

func TestSwappingRolesHoursAndARuleUnderLoad(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.set("w0", "neosc")
	if err := p.manager.Reload(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				d, err := p.engine.Decide(context.Background(), request("portal", "neosc"))
				if err != nil || d.Reasons[0] != d.Headers[0].Value {
					t.Errorf("%+v, %v", d, err)
					return
				}
			}
		})
	}
	for n := range 20 {
		role := []string{"neosc", "admin"}[n%2]
		p.set(fmt.Sprintf("w%d", n+1), role)
		if err := p.manager.Reload(); err != nil {
			t.Fatal(err)
		}
		d, err := p.engine.Decide(context.Background(), request("portal", "neosc"))
		if err != nil || d.Allowed != (role == "neosc") || d.Generation != uint64(n+2) {
			t.Fatalf("round %d: %+v, %v", n, d, err)
		}
	}
	close(done)
	wg.Wait()
}

func TestTheBuiltInSetNeedsNoDirectory(t *testing.T) {
	t.Parallel()
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := bundles.New(bundles.Options{
		Engine: e, Logger: slog.New(slog.DiscardHandler),
		FS: fstest.MapFS{"a.rego": {Data: []byte("package a\n\nb := true")}}, EntryPoint: "data.a.b",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(); err != nil || m.Status().Generation != 1 || m.Status().Revision == "" {
		t.Fatalf("%v, %+v", err, m.Status())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.Run(ctx); err != nil {
		t.Error(err)
	}
}
