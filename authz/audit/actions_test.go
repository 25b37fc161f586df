package audit_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/session"
)

func table(t testing.TB, text string) (*audit.Actions, error) {
	t.Helper()
	var data any
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		t.Fatal(err)
	}
	return audit.ParseActions(data)
}

const workspaceActions = `[
	{"routes": ["api", "admin"], "method": "POST", "path": "/api/workspaces", "action": "create_workspace"},
	{"routes": ["api"], "method": "POST", "path": "/api/workspaces/reset", "action": "reset_workspaces"},
	{"routes": ["api"], "method": "POST", "path": "/api/workspaces/{workspace}/launch", "action": "launch_workspace"},
	{"routes": ["api"], "method": "POST", "path": "/{any}/{thing}/7/launch", "action": "never_reached"}]`

func TestActionsAreNamedByRouteMethodAndPath(t *testing.T) {
	t.Parallel()
	a, err := table(t, workspaceActions)
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]struct {
		action    session.Action
		workspace string
	}{
		"api POST /api/workspaces":                 {"create_workspace", ""},
		"admin POST /api/workspaces?x=/y":          {"create_workspace", ""},
		"api POST /api/workspaces/reset":           {"reset_workspaces", ""},
		"api POST /api/workspaces/7/launch":        {"launch_workspace", "7"},
		"api POST /api/workspaces/7/launch?size=2": {"launch_workspace", "7"},
		"api POST /api/work%73paces/a%20b/launch":  {"launch_workspace", "a b"}, // as upstreams read it
		"api GET /api/workspaces/7/launch":         {},
		"admin POST /api/workspaces/7/launch":      {},
		"portal POST /api/workspaces":              {},
		"api POST /api/workspaces/":                {},
		"api POST /api/workspaces//launch":         {},
		"api POST /api/workspaces/7/launch/x":      {},
		"api POST /api/workspaces/%zz/launch":      {},
		"api POST *":                               {},
		"api POST ":                                {},
	} {
		words := strings.SplitN(line, " ", 3)
		got, details := a.Of(&authz.Request{RouteName: words[0], Method: words[1], Path: words[2]})
		if got != want.action || details["workspace"] != want.workspace {
			t.Errorf("%s: %q %v, want %+v", line, got, details, want)
		}
	}
	var none *audit.Actions
	if got, _ := none.Of(request("/")); got != "" {
		t.Errorf("no table names %q", got)
	}
	if empty, err := audit.ParseActions(nil); err != nil {
		t.Error(err)
	} else if got, _ := empty.Of(request("/")); got != "" {
		t.Errorf("an empty table names %q", got)
	}
}

func TestTablesOfActionsThatAreNotWellFormedAreRefused(t *testing.T) {
	t.Parallel()
	const good = `[{"routes": ["api"], "method": "POST", "path": "/a/{b}", "action": "launch_workspace"}]`
	if _, err := table(t, good); err != nil {
		t.Fatal(err)
	}
	for old, c := range map[string]struct{ text, says string }{
		good:                  {`{"a": 1}`, "must be a list"},
		`["api"]`:             {`[]`, "routes is missing"},
		`"api"`:               {`3`, "routes must be names"},
		`"POST"`:              {`"post"`, "method is missing, or not in capitals"},
		`"path"`:              {`"paht"`, `there is no "paht"`},
		`/a/{b}`:              {`a`, "must begin with /"},
		`{b}`:                 {`{b`, "neither a name nor one in braces"},
		`/{b}`:                {`//x`, "neither a name nor one in braces"},
		`/a/`:                 {strings.Repeat("/a", 20) + "/", "at most 16 segments"},
		`b}`:                  {`path}`, "not that of another detail"},
		`"launch_workspace"`:  {`"logout"`, "none of the gate's own"},
		`"launch_workspace"}`: {`"Launch"}`, "must be 1 to 64 of"},
		`[{`:                  {`["x", {`, "it is no object"},
	} {
		_, err := table(t, strings.Replace(good, old, c.text, 1))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s in the place of %s: error %v, want one that says %q", c.text, old, err, c.says)
		}
	}
}

func TestNamedRequestsAreKeptWhateverElseIs(t *testing.T) {
	t.Parallel()
	a, err := table(t, workspaceActions)
	if err != nil {
		t.Fatal(err)
	}
	denied := &authz.Outcome{Verdict: authz.Denied, Status: 403, Reasons: []string{"role_required"}}
	limited := &authz.Outcome{Verdict: authz.Limited, Status: 429, Reasons: []string{"rate_limited"}}
	launch := func() *authz.Request {
		r := request("/api/workspaces/7/launch")
		r.Method, r.RouteName = "POST", "api"
		return r
	}
	for name, c := range map[string]struct {
		o    audit.DecisionsOptions
		want []session.Action
	}{
		"Off":    {audit.DecisionsOptions{ActionsOnly: true}, []session.Action{"launch_workspace"}},
		"Denied": {audit.DecisionsOptions{}, []session.Action{"launch_workspace", session.ActionRequestDenied, session.ActionRequestDenied}},
		"All":    {audit.DecisionsOptions{All: true}, []session.Action{"launch_workspace", session.ActionRequestDenied, session.ActionRequestDenied, session.ActionRequestAllowed}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSlow()
			for range 5 {
				s.let <- nil
			}
			c.o.Trail, c.o.Actions = s, a.Of
			d := decisions(t, c.o)
			for _, x := range []struct {
				r *authz.Request
				o *authz.Outcome
			}{{launch(), allowed()}, {launch(), denied}, {launch(), limited}, {request("/"), allowed()}} {
				if err := d.Keep(x.r, x.o); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			var got []session.Action
			for _, e := range s.kept {
				got = append(got, e.Action)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Fatalf("kept %v, want %v", got, c.want)
			}
			if e := s.kept[0]; e.Details["workspace"] != "7" || e.Details["route"] != "api" || e.User.Email != "ana@kappa4.com" || e.Outcome != session.OutcomeSuccess {
				t.Errorf("the launch is kept as %+v", e)
			}
		})
	}
}
