package replay_test

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/observe/decisionlog"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/access"
	"github.com/neosc/gate/bundles/replay"
	"github.com/neosc/gate/policies"
)

func edge() engine.Edge {
	return engine.Edge{
		SessionCookie: "_pomerium", IdentityPrefix: "x-pomerium-", Forwarded: []string{"accept", "cookie", "authorization", "origin", "access-control-request-method", "x-*"},
		Settable: []string{"x-pomerium-*", "x-session-id", "x-user-email", "x-workspace-type", "x-neosc-*"}, ResponseSettable: []string{"x-*"},
	}
}

func source(t testing.TB) engine.Source {
	t.Helper()
	src, err := bundles.Load(policies.Files())
	if err != nil {
		t.Fatal(err)
	}
	src.Timeout = 30 * time.Second // a busy machine is no reason to fail
	return src
}

func judge(t testing.TB, src engine.Source) *engine.Judge {
	t.Helper()
	p, err := engine.Compile(src, edge())
	if err != nil {
		t.Fatal(err)
	}
	j := engine.NewJudge(p)
	if why := j.Slow(); why != "" {
		t.Fatal(why)
	}
	return j
}

// oneEngine judges as a Decider's engine.
type oneEngine struct{ *engine.Judge }

func (e oneEngine) Decide(ctx context.Context, r *authz.Request) (*authz.Decision, error) {
	d, err := e.Judge.Decide(ctx, r)
	if err == nil {
		d.Generation = 1
	}
	return d, err
}

// traffic are requests of every kind that the matrix of access has, all of them
// if every is 1, dressed with headers, cookies and queries.
func traffic(t testing.TB, j *engine.Judge, every int) []*authz.Request {
	t.Helper()
	u := access.Of(nil, j)
	for name, paths := range u.Paths { // the gate's own routes have a hundred
		u.Paths[name] = slices.DeleteFunc(paths, func(p string) bool {
			return len(paths) > 20 && !slices.Contains([]string{"/", "/some/thing", "/admin", "/admin/x", "/ADMIN", "/oauth2/sign_in", "/account/security", "/assets/x", "/api/auth/me", "/api/sessions", "/api/sessions/x", "/api/auth/login"}, p)
		})
	}
	var mu sync.Mutex
	by := map[access.Cell]*authz.Request{}
	var order []access.Cell
	err := u.Each(t.Context(), nil, func(c access.Cell, r *authz.Request) error {
		h := fnv.New32a()
		for _, text := range []string{c.Route, c.Path, c.Who, c.Method, c.Situation} {
			_, _ = h.Write([]byte(text)) // a hash takes all
		}
		if h.Sum32()%uint32(every) > 0 {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		by[c], order = r, append(order, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(order, func(a, b access.Cell) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	rnd := rand.New(rand.NewPCG(1, 2))
	var out []*authz.Request
	for i, c := range order {
		r := by[c]
		r.ID = fmt.Sprintf("%08x-0000-4000-8000-%012d", rnd.Uint32(), i)
		r.Headers = append(r.Headers, authz.Header{Name: "cookie", Value: "_pomerium=v1.secret; theme=dark"},
			authz.Header{Name: "user-agent", Value: "Mozilla/5.0 \"quoted\" \\ \t é"}, authz.Header{Name: "x-twice", Value: "a"}, authz.Header{Name: "x-twice", Value: "b"})
		if i%5 == 0 {
			r.Path += "?page=2&tag=a&tag=b%20c"
		}
		if i%7 == 0 {
			r.Headers = append(r.Headers, authz.Header{Name: "authorization", Value: "Bearer abc.def.ghi"})
		}
		out = append(out, r)
	}
	return out
}

// record has requests decided and logged as a gate does.
func record(t testing.TB, j *engine.Judge, requests []*authz.Request, repeat int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "decisions.ndjson")
	sink, err := decisionlog.NewFile(decisionlog.FileOptions{Path: file, MaxBytes: 64 << 20, Files: 100})
	if err != nil {
		t.Fatal(err)
	}
	log, err := decisionlog.New(decisionlog.Options{Sink: sink, Allows: 1, Buffer: 512 << 20, Entrypoint: engine.DefaultEntryPoint, IdentityPrefix: "x-pomerium-", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			for range repeat {
				for i := w; i < len(requests); i += 4 {
					log.Observe(requests[i], outcome(t.Context(), oneEngine{j}, requests[i]), 12*time.Microsecond)
				}
			}
		})
	}
	workers.Wait()
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return file
}

// outcome is what a Decider makes of a decision, limits apart.
func outcome(ctx context.Context, e authz.Engine, r *authz.Request) *authz.Outcome {
	o := &authz.Outcome{Session: r.Session}
	d, err := e.Decide(ctx, r)
	switch {
	case err != nil:
		o.Verdict, o.Status, o.Reasons, o.Err = authz.Failed, 503, []string{authz.ReasonPolicyError}, err
	case d.Allowed:
		o.Verdict, o.Status, o.Reasons, o.Decision = authz.Allowed, 200, d.Reasons, d
	default:
		o.Verdict, o.Status, o.Reasons, o.Decision = authz.Denied, 403, d.Reasons, d
	}
	return o
}

func replayed(t testing.TB, j *engine.Judge, file string) *replay.Report {
	t.Helper()
	r, err := replay.Log(t.Context(), replay.Options{Judge: j}, file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecordedDecisionsAreTheSameByTheSamePolicy(t *testing.T) {
	t.Parallel()
	j := judge(t, source(t))
	want := 100_000
	if raceEnabled {
		want = 6_000 // make unit has them all
	}
	requests := traffic(t, j, 20)
	if len(requests) > want {
		requests = requests[:want]
	}
	file := record(t, j, requests, want/len(requests)+1)
	r := replayed(t, j, file)
	if r.Records < int64(want) || r.Same != r.Records || r.Changed+r.NotReplayable+r.Unjudged+r.BadLines+r.Disagreed != 0 {
		t.Errorf("of %d: %+v", want, r)
	}
	if text, err := os.ReadFile(file); err != nil || bytes.Contains(text, []byte("abcdefgh")) || bytes.Contains(text, []byte("v1.secret")) || bytes.Contains(text, []byte("abc.def")) {
		t.Errorf("a secret is in the log: %v", err)
	}
	t.Logf("%d records in %.2f s", r.Records, r.Seconds)
}

// seeded are single changes of the shipped policy.
var seeded = []struct{ name, file, old, new string }{
	{"NobodyNeedBeSignedIn", "authz.rego", "permitted if {\n\tidentity.user\n\topen", "permitted if {\n\topen"},
	{"DemoNotAsked", "authz.rego", "\tnot demo_missing\n", ""},
	{"EndedDemosGoOn", "authz.rego", "\tnot demo_over\n\tnot hours.closed\n", "\tnot hours.closed\n"},
	{"HoursNotAsked", "authz.rego", "\tnot hours.closed\n\tnot mfa.missing\n", "\tnot mfa.missing\n"},
	{"SecondFactorNotAsked", "authz.rego", "\tnot mfa.missing\n", ""},
	{"StaleFactorTaken", "authz.rego", "\tnot mfa.stale\n", ""},
	{"PublicKeepsNoHours", "authz.rego", "\tpaths.public\n\tnot hours.closed\n}", "\tpaths.public\n}"},
	{"StreamsDoNotEnd", "authz.rego", "\tdemo.running\n\troute.demo_expiry\n", "\tdemo.running\n\troute.no_such_field\n"},
	{"ReservedForgotten", "authz.rego", "\troles.method_open\n\tnot reserved.against\n}", "\troles.method_open\n}"},
	{"ClosedForgotten", "authz.rego", "\tnot reserved.closed\n", ""},
	{"SessionPathsClosed", "authz.rego", "open if paths.session_open\n", ""},
	{"MatchedOtherwise", "authz.rego", `["matched_policy"]`, `["allowed"]`},
	{"NoReadOnly", "authz.rego", `access_denial := "read_only" if`, `access_denial := "role_required" if`},
	{"AnyMethod", "authz.rego", `access_denial := "method_not_allowed" if not known_method`, `access_denial := "role_required" if not known_method`},
	{"OpensLate", "lib/hours.rego", "clock >= data.neosc.hours.from", "clock > data.neosc.hours.from"},
	{"ClosesLate", "lib/hours.rego", "clock < data.neosc.hours.until", "clock <= data.neosc.hours.until"},
	{"DemoEndsLate", "lib/demo.rego", "time.now_ns() < ends_at", "time.now_ns() <= ends_at"},
	{"UnverifiedEmail", "lib/identity.rego", "\tinput.session.user.email_verified == true\n", ""},
	{"CostTwo", "lib/limits.rego", `"key": identity.user, "cost": 1,`, `"key": identity.user, "cost": 2,`},
	{"ServicesNeedFactors", "lib/mfa.rego", `person if input.session.kind != "service"`, `person if input.session.kind != "nothing"`},
	{"FactorsAskedOfAll", "lib/mfa.rego", "data.neosc.switches.mfa_required != false", "data.neosc.switches.mfa_required == false"},
	{"PathsInAnySpelling", "lib/reserved.rego", "segment := lower(split(raw, \";\")[0])", "segment := split(raw, \";\")[0]"},
}

func changed(t testing.TB, file, old, new string) engine.Source {
	t.Helper()
	src := source(t)
	if strings.Count(src.Modules[file], old) != 1 {
		t.Fatalf("%s has %q %d times", file, old, strings.Count(src.Modules[file], old))
	}
	src.Modules[file] = strings.Replace(src.Modules[file], old, new, 1)
	return src
}

func TestEachSeededChangeIsFoundByReplayAndByAccess(t *testing.T) {
	t.Parallel()
	old := judge(t, source(t))
	every := 8
	if raceEnabled {
		every = 24
	}
	file := record(t, old, traffic(t, old, every), 1)
	found, want := 0, 20
	for i, c := range seeded {
		if raceEnabled {
			if want = 5; i%4 > 0 { // make unit has them all
				continue
			}
		}
		now := judge(t, changed(t, c.file, c.old, c.new))
		r := replayed(t, now, file)
		if r.Changed == 0 || len(r.Groups) == 0 || r.NotReplayable+r.BadLines+r.Disagreed != 0 || r.Groups[0].Example.DecisionID == "" {
			t.Errorf("%s: replay finds %d changes in %d groups of %d, %d not replayable", c.name, r.Changed, len(r.Groups), r.Records, r.NotReplayable)
			continue
		}
		// The whole matrix takes seconds; where it looks first is enough here.
		u, first := access.Of(nil, old, now), r.Groups[0]
		u.Paths[first.Route] = []string{first.Example.Path}
		d, err := u.Diff(t.Context(), old, now, []string{first.Route})
		if err != nil || d.Changed == 0 || d.Disagreed > 0 || len(d.Groups) == 0 {
			t.Errorf("%s: access -diff finds %+v, %v", c.name, d, err)
			continue
		}
		found++
	}
	if found < want {
		t.Errorf("%d of %d changes are found", found, len(seeded))
	}
}
