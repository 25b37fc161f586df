package ppl_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	_ "time/tzdata" // hours are read in their zones

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/ppl"
	"github.com/neosc/gate/policies"
	"github.com/neosc/gate/session"
)

func options(t testing.TB) ppl.Options {
	t.Helper()
	base, err := policies.Base()
	if err != nil {
		t.Fatal(err)
	}
	return ppl.Options{Base: base}
}

func imported(t testing.TB, text string, o ppl.Options) *ppl.Result {
	t.Helper()
	r, err := ppl.Import([]byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// set is the policy set of an import and its tests.
func set(t testing.TB, r *ppl.Result) (engine.Source, map[string]string, *route.File) {
	t.Helper()
	files := fstest.MapFS{}
	for name, text := range r.Files {
		if in, ok := strings.CutPrefix(name, "policies/"); ok {
			files[in] = &fstest.MapFile{Data: text}
		}
	}
	src, err := bundles.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := bundles.LoadTests(files)
	if err != nil {
		t.Fatal(err)
	}
	f, err := route.Parse("routes.yaml", r.Files["routes.yaml"])
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Files["routes.yaml"])
	}
	src.Timeout = 20 * time.Second // a busy machine is no reason to fail
	return src, tests, f
}

func edgeOf(f *route.File) engine.Edge {
	return engine.Edge{
		SessionCookie: "_pomerium", IdentityPrefix: "x-pomerium-", Forwarded: f.Forwarded(), Settable: f.Settable().Patterns(),
		Reserved: []string{"x-pomerium-jwt-assertion"}, ResponseSettable: f.ResponseSettable().Patterns(),
	}
}

func program(t testing.TB, r *ppl.Result) *engine.Program {
	t.Helper()
	src, _, f := set(t, r)
	p, err := engine.Compile(src, edgeOf(f))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// noon is a Wednesday, 12:00 in Mexico City.
var noon = time.Date(2026, 3, 4, 18, 0, 0, 0, time.UTC)

// person is who asks; nil for a stranger.
type person struct {
	id, email  string
	unverified bool
	roles      []string
	claims     map[string]any
}

func ask(name, method string, who *person, at time.Time) *authz.Request {
	r := &authz.Request{
		Time: at, ID: "r", Method: method, Scheme: "https", Host: name + ".example.com", Path: "/a", Protocol: "HTTP/2",
		Route: &authz.Route{Name: name}, RouteName: name,
	}
	if who != nil {
		r.Session = &session.Session{Kind: session.Browser, ExpiresAt: at.Add(time.Hour), IdleExpiresAt: at.Add(time.Hour), Identity: session.Identity{
			Provider: "zitadel", UserID: who.id, Email: who.email, EmailVerified: !who.unverified, Roles: who.roles, Claims: who.claims, AuthenticatedAt: at.Add(-time.Hour),
		}}
	}
	return r
}

func decide(t testing.TB, p *engine.Program, r *authz.Request) *authz.Decision {
	t.Helper()
	d, err := p.Decide(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// samples are the files of testdata.
func samples(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("samples are %v, %v", files, err)
	}
	out := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".yaml")] = string(b)
	}
	return out
}

func TestImportsPassTheirOwnTests(t *testing.T) {
	t.Parallel()
	for name, text := range samples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, tests, f := set(t, imported(t, text, options(t)))
			report, err := engine.RunTests(t.Context(), src, tests, edgeOf(f), engine.TestOptions{Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			if !report.Passed() {
				t.Errorf("%+v", report.Tests)
			}
			for _, f := range report.Files {
				if f.File == "lib/ppl.rego" && (len(f.Missed) > 0 || f.Covered == 0) {
					t.Errorf("no test reaches lines %v of %s", f.Missed, f.File)
				}
			}
		})
	}
}

func TestTheSameFileGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	for name, text := range samples(t) {
		first := imported(t, text, options(t))
		for range 5 {
			again := imported(t, text, options(t))
			for file, want := range first.Files {
				if !bytes.Equal(again.Files[file], want) {
					t.Fatalf("%s: %s differs", name, file)
				}
			}
		}
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	head := "- from: https://a.example.com\n  to: http://a\n"
	bomb := "x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n"
	for i := range 9 {
		bomb += strings.ReplaceAll(strings.ReplaceAll("xN: &xN [*xM, *xM, *xM, *xM, *xM, *xM, *xM, *xM, *xM, *xM]\n", "N", string(rune('1'+i))), "M", string(rune('0'+i)))
	}
	for name, c := range map[string]struct{ text, says string }{
		"Nothing":          {"", "empty"},
		"NoYAML":           {"a: [", "yaml"},
		"Text":             {"hello", "want routes"},
		"NoRoutes":         {"address: :443", "neither routes nor policy"},
		"AliasBomb":        {bomb + "routes: *x9", "values"},
		"Deep":             {strings.Repeat("[", 60) + strings.Repeat("]", 60), "deeper"},
		"KeyTwice":         {head + "  to: http://b", "already defined|twice"},
		"Merge":            {"a: &a {from: https://a.example.com}\nroutes: [{<<: *a}]", "<<"},
		"TwoDocuments":     {head + "---\na: 1", "first YAML document"},
		"NoFrom":           {"- to: http://a", "from"},
		"NoTo":             {"- from: https://a.example.com", "to, redirect and response"},
		"FromWithPath":     {"- {from: https://a.example.com/x, to: http://a}", "scheme and host"},
		"OddHost":          {"- {from: 'https://a.*.example.com', to: http://a}", "no host"},
		"OddUpstream":      {"- {from: https://a.example.com, to: ftp://a}", "no http or https"},
		"OddAction":        {head + "  policy: {permit: {and: [accept: true]}}", "no action"},
		"OddOperator":      {head + "  policy: {allow: {xor: [accept: true]}}", "no operator"},
		"EmptyOperator":    {head + "  policy: {allow: {and: []}}", "no criteria"},
		"EmptyClaims":      {head + "  allowed_idp_claims: {roles: []}", "empty"},
		"OddZone":          {head + "  policy: {allow: {and: [{time: {after: '08:00', timezone: Mars/Olympus}}]}}", "timezone"},
		"OddClock":         {head + "  policy: {allow: {and: [{time: {after: noon}}]}}", "time of day"},
		"OddHour":          {head + "  policy: {allow: {and: [{time: {after: 13PM}}]}}", "not 1 to 12"},
		"BareHour":         {head + "  policy: {allow: {and: [{time: {after: '8'}}]}}", "time of day"},
		"OddDate":          {head + "  policy: {allow: {and: [accept: true, date: {after: soon}]}}", "no date such as"},
		"OddDateOperator":  {head + "  policy: {allow: {and: [accept: true, date: {is: '2026-03-05'}]}}", "after and before"},
		"TwoDays":          {head + "  policy: {allow: {and: [{day_of_week: mon-fri}, {day_of_week: fri-sun}]}}", "day_of_week: there is one in this rule already"},
		"TwoTimes":         {head + "  policy: {allow: {and: [{time: {after: '09:00'}}, {time_of_day: {before: '17:00'}}]}}", "time_of_day: there is one in this rule already"},
		"TwoZones":         {head + "  policy: {allow: {and: [{time: {after: '09:00', timezone: Asia/Tokyo}}, {day_of_week: {is: mon, timezone: UTC}}]}}", `"Asia/Tokyo" and "UTC" are in one rule`},
		"OddDay":           {head + "  policy: {allow: {and: [{day_of_week: someday}]}}", "weekday"},
		"OddRange":         {head + "  policy: {allow: {and: [{source_ip: office}]}}", "range"},
		"OddLimit":         {head + "  rate_limit: {requests_per_second: -1}", "requests_per_second"},
		"OddBoolean":       {head + "  allow_any_authenticated_user: maybe", "true or false"},
		"EmptyList":        {"[]", "the list of routes is empty"},
		"OnlyOtherSchemes": {"- {from: 'tcp+https://a.example.com:22', to: 'tcp://a:22'}", "no route that can be imported"},
		"LineIsSaid":       {head + "  policy:\n    allow: {and: [{source_ip: office}]}", ":4:"},
		"GateIsARoute":     {"authenticate_service_url: https://a.example.com\nroutes:\n" + head, "-gate"},
		"TooLarge":         {strings.Repeat("#", ppl.MaxSize+1), "bytes"},
		"RolesOfAnother":   {"- {from: https://b.example.com, to: http://a}", "b.example.com|a.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			if name == "RolesOfAnother" {
				o.Also = map[string][]string{"a.example.com": {"admin"}}
			}
			_, err := ppl.Import([]byte(c.text), o)
			if err == nil {
				t.Fatal("imported")
			}
			for _, want := range strings.Split(c.says, "|") {
				if strings.Contains(err.Error(), want) {
					return
				}
			}
			t.Errorf("error does not say %q: %v", c.says, err)
		})
	}
}
