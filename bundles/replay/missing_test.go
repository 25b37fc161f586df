package replay_test

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/observe/decisionlog"
	"github.com/neosc/gate/bundles/replay"
	"github.com/neosc/gate/session"
)

const signedToken = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl-_c2lnbmF0dXJl"

// TestWhatReadsWhatIsNotRecordedIsNeverTheSame: a condition that a policy has,
// what the request is like, what the policy masks, and the first thing that is
// missing; "" where all that is read is there.
func TestWhatReadsWhatIsNotRecordedIsNeverTheSame(t *testing.T) {
	t.Parallel()
	const http, claims = "/input/attributes/request/http", "/input/session/claims"
	long := "/" + strings.Repeat("a", 100)
	for name, c := range map[string]struct {
		condition, path, masks, missing string
	}{
		"Bearer":                   {`startswith(input.attributes.request.http.headers.authorization, "Bearer")`, "", "", http + "/headers/authorization"},
		"Cookie":                   {`contains(input.attributes.request.http.headers.cookie, "dark")`, "", "", http + "/headers/cookie"},
		"AnyParameter":             {`some values in input.parsed_query; values[0] == "abc"`, "/a?token=abc", "", "/input/parsed_query/token"},
		"HeaderThatIsNoSecret":     {`input.attributes.request.http.headers["x-tenant"] == "1"`, "", "", ""},
		"HeaderWithToken":          {`startswith(input.attributes.request.http.headers["x-note"], "eyJ")`, "", "", http + "/headers/x-note"},
		"AnyClaim":                 {`some claim in input.session.claims; claim == "abcdefgh"`, "", "", claims + "/api_token"},
		"SecretParameter":          {`input.parsed_query.token[0] == "abc"`, "/a?token=abc", "", "/input/parsed_query/token"},
		"SecretParameterThatIsNot": {`not input.parsed_query.token`, "/a?token=abc", "", "/input/parsed_query/token"},
		"ParameterBesideSecret":    {`input.parsed_query.role[0] == "admin"`, "/a?token=abc&role=admin", "", ""},
		"PathOfSecretParameter":    {`endswith(input.attributes.request.http.path, "token=abc")`, "/a?token=abc", "", http + "/path"},
		"SegmentsBesideSecret":     {`input.parsed_path[0] == "a"`, "/a?token=abc", "", ""},
		"ParameterOfEscapedName":   {`input.parsed_query.role[0] == "admin"`, "/a?r%6Fle=admin", "", "/input/parsed_query/role"},
		"LongSegments":             {`input.parsed_path[90] == "z"`, strings.Repeat(long, 90) + "/z", "", "/input/parsed_path"},
		"ParameterOfLongPath":      {`input.parsed_query.role[0] == "admin"`, strings.Repeat(long, 90) + "?role=admin", "", "/input/parsed_query/role"},
		"MatrixParameter":          {`contains(input.parsed_path[0], "jsessionid")`, "/a;jsessionid=abc/b", "", "/input/parsed_path"},
		"TokenInPath":              {`startswith(input.parsed_path[1], "eyJ")`, "/reset/" + signedToken, "", "/input/parsed_path"},
		"SecretClaim":              {`input.session.claims.api_token == "abcdefgh"`, "", "", claims + "/api_token"},
		"DeepSecretClaim":          {`input.session.claims.deep.password == "abcdefgh"`, "", "", claims + "/deep/password"},
		"ClaimBesideSecret":        {`input.session.claims.deep.ok == true`, "", "", ""},
		"ClaimThatHoldsToken":      {`startswith(input.session.claims.upstream, "eyJ")`, "", "", claims + "/upstream"},
		"SecretUnderLongName":      {`input.session.claims["` + strings.Repeat("n", 600) + `"].password == "abcdefgh"`, "", "", claims},
		"LongRole":                 {`some role in input.session.roles; endswith(role, "admin")`, "", "", "/input/session/roles"},
		"LongGroup":                {`count(input.session.groups[0]) == 5000`, "", "", "/input/session/groups"},
		"MaskedRole":               {`input.session.amr[0] == "pwd"`, "", `mask contains "/input/session/amr/0"`, "/input/session/amr/0"},
		"MaskedAbove":              {`input.session.user.id == "u-1"`, "", `mask contains "/input/session/user"`, "/input/session/user"},
		"MaskedSessionAsNobody":    {`not input.session.user.id`, "", `mask contains "/input/session"`, "/input/session"},
		"MaskedAddress":            {`net.cidr_contains("203.0.113.0/24", input.attributes.source.address.socketAddress.address)`, "", `mask contains {"op": "upsert", "path": "/input/attributes/source/address/socketAddress/address", "value": "203.0.113.0"}`, "/input/attributes/source/address/socketAddress/address"},
		"MaskedPathReadInSegments": {`input.parsed_path[0] == "a"`, "", `mask contains "/input/attributes/request/http/path"`, "/input/parsed_path"},
		"MaskedPathReadInQuery":    {`input.parsed_query.role[0] == "admin"`, "/a?role=admin", `mask contains {"op": "upsert", "path": "/input/attributes/request/http/path", "value": "/a?role=user"}`, "/input/parsed_query/role"},
		"MaskedTimeIsNoClock":      {`time.clock(time.now_ns())[0] == 18`, "", `mask contains {"op": "upsert", "path": "/input/attributes/request/time", "value": "2020-01-01T03:00:00Z"}`, ""},
		"MaskedTime":               {`startswith(input.attributes.request.time, "2026")`, "", `mask contains {"op": "upsert", "path": "/input/attributes/request/time", "value": "2020-01-01T03:00:00Z"}`, "/input/attributes/request/time"},
		"MaskedVerdict":            {`input.route.name == "portal"`, "", `mask contains {"op": "upsert", "path": "/result/allowed", "value": true}`, "/result/allowed"},
		"MaskedResult":             {`input.route.name == "portal"`, "", `mask contains "/result"`, "/result"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := small(t, c.condition, c.masks)
			if c.path == "" {
				c.path = "/a/b"
			}
			q := fullRequest(c.path)
			if name == "SecretUnderLongName" {
				q.Session.Identity.Claims[strings.Repeat("n", 600)] = map[string]any{"password": "abcdefgh"}
			}
			r := replayed(t, engine.NewJudge(p), masked(t, p, q))
			switch {
			case r.Records != 1 || r.BadLines > 0:
				t.Fatalf("report %+v", r)
			case c.missing == "" && r.Same != 1:
				t.Errorf("it is not the same: %+v, missing %+v", r, r.Missing)
			case c.missing != "" && (r.NotReplayable != 1 || r.Same+r.Changed != 0 || r.Missing[0].Path != c.missing):
				t.Errorf("same %d, changed %d, missing %+v", r.Same, r.Changed, r.Missing)
			}
		})
	}
}

// small is a policy that allows under a condition.
func small(t *testing.T, condition, masks string) *engine.Program {
	t.Helper()
	modules := map[string]string{"a.rego": "package neosc.authz\n\ndefault decision := {\"allowed\": false, \"reasons\": [\"no\"]}\n\ndecision := {\"allowed\": true, \"reasons\": [\"yes\"]} if {\n\t" + condition + "\n}\n"}
	if masks != "" {
		modules["log.rego"] = "package system.log\n\n" + masks + "\n"
	}
	p, err := engine.Compile(engine.Source{Modules: modules, Timeout: 30 * time.Second}, edge())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func fullRequest(path string) *authz.Request {
	at := time.Date(2026, 3, 5, 18, 0, 0, 0, time.UTC)
	return &authz.Request{
		Time: at, ID: "r-1", Method: "GET", Scheme: "https", Host: "portal.kappa4.com", Path: path, Protocol: "HTTP/2", RouteName: "portal",
		Headers: authz.Headers{{Name: "cookie", Value: "_pomerium=v1.x; theme=dark"}, {Name: "authorization", Value: "Bearer abc"}, {Name: "x-tenant", Value: "1"}, {Name: "x-note", Value: signedToken}},
		Route:   &authz.Route{Name: "portal", PassIdentityHeaders: true}, Source: authz.Peer{Addr: netip.MustParseAddrPort("203.0.113.9:4711")},
		Session: &session.Session{Kind: session.Browser, ExpiresAt: at.Add(time.Hour), IdleExpiresAt: at.Add(time.Hour), Identity: session.Identity{
			Provider: "local", UserID: "u-1", Email: "ana@kappa4.com", Roles: []string{strings.Repeat("r", 5000) + "admin"}, Groups: []string{strings.Repeat("g", 5000)}, AMR: []string{"pwd"},
			AuthenticatedAt: at.Add(-time.Minute),
			Claims: map[string]any{
				"api_token": "abcdefgh", "upstream": signedToken, "deep": map[string]any{"password": "abcdefgh", "ok": true},
			},
		}},
	}
}

// masked is a log of one request, with what the policy masks.
func masked(t *testing.T, p *engine.Program, r *authz.Request) string {
	t.Helper()
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e.Activate(p)
	file := filepath.Join(t.TempDir(), "decisions.ndjson")
	sink, err := decisionlog.NewFile(decisionlog.FileOptions{Path: file})
	if err != nil {
		t.Fatal(err)
	}
	log, err := decisionlog.New(decisionlog.Options{Sink: sink, Filter: engine.NewLogFilter(e), Allows: 1, Entrypoint: engine.DefaultEntryPoint, IdentityPrefix: "x-pomerium-", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	log.Observe(r, outcome(t.Context(), e, r), time.Microsecond)
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestARecordOfAnotherLimitIsPolicysToDecide: what a limit refused policy had
// allowed, and is compared as that.
func TestARecordOfAnotherLimitIsPolicysToDecide(t *testing.T) {
	t.Parallel()
	p := small(t, `input.route.name == "portal"`, "")
	j := engine.NewJudge(p)
	d, err := j.Decide(t.Context(), fullRequest("/"))
	if err != nil {
		t.Fatal(err)
	}
	player := replay.NewPlayer(j)
	for _, verdict := range []string{"limit", "allow"} {
		if changes, missing := player.Play(t.Context(), &decisionlog.Record{Verdict: verdict, Request: fullRequest("/"), Result: d}); len(changes) > 0 || missing != "" {
			t.Errorf("%s: %v, %q", verdict, changes, missing)
		}
	}
}
