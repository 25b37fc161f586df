package engine_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/engine"
)

func logPolicy(t *testing.T, text string) (*engine.Program, error) {
	t.Helper()
	return engine.Compile(engine.Source{Modules: map[string]string{
		"a.rego": "package neosc.authz\n\ndecision := {\"allowed\": input.route.name == \"a\"}\n", "log.rego": text,
	}, Data: map[string]any{"hide": []any{"name"}}, Timeout: 30 * time.Second}, engine.Edge{})
}

// logFilter is the filter of an active policy with these rules of system.log.
func logFilter(t *testing.T, rules string) *engine.LogFilter {
	t.Helper()
	p, err := logPolicy(t, "package system.log\n\n"+rules+"\n")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e.Activate(p)
	return engine.NewLogFilter(e)
}

func TestTheActivePolicyMasksAndDropsDecisionRecords(t *testing.T) {
	t.Parallel()
	p, err := logPolicy(t, `package system.log

mask contains concat("/", ["/input/session/user", name]) if some name in data.hide

mask contains {"op": "upsert", "path": "/input/parsed_path/1", "value": "x"}

mask contains "/input/not/there"

mask contains "/result/headers/a~1b"

drop if input.input.parsed_path[0] == "assets"
`)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := engine.NewLogFilter(e)
	if f.Active() {
		t.Error("active before there is a policy")
	}
	e.Activate(p)
	record := func(path string) map[string]any {
		var m map[string]any
		text := `{"input": {"session": {"user": {"name": "Ana", "id": "1"}}, "parsed_path": ["` + path + `", "b"]}, "result": {"headers": {"a/b": "1", "c": "2"}}, "erased": ["/input/z"], "req_id": 12345678901234567}`
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := record("a")
	if drop, err := f.Apply(t.Context(), m); drop || err != nil || !f.Active() {
		t.Fatal(drop, err)
	}
	want := map[string]any{
		"input":  map[string]any{"session": map[string]any{"user": map[string]any{"id": "1"}}, "parsed_path": []any{"a", "x"}},
		"result": map[string]any{"headers": map[string]any{"c": "2"}}, "req_id": json.Number("12345678901234567"),
		"erased": []any{"/input/session/user/name", "/input/z", "/result/headers/a~1b"}, "masked": []any{"/input/parsed_path/1"},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("masked to\n%v, want\n%v", m, want)
	}
	before := record("assets")
	if drop, err := f.Apply(t.Context(), maps.Clone(before)); !drop || err != nil {
		t.Errorf("not dropped: %v", err)
	}
}

func TestElementsThatAreMaskedByTheirPlaceAreThoseOfTheRecord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rules, groups, want string }{
		{`mask contains sprintf("/input/groups/%d", [i]) if some i, _ in input.input.groups`, `["a", "b", "c", "d"]`, `[]`},
		{`mask := ["/input/groups/0", "/input/groups/2", "/input/groups/0"]`, `["a", "b", "c", "d"]`, `["b", "d"]`},
		{`mask := ["/input/groups/0", {"op": "upsert", "path": "/input/groups/2", "value": "x"}]`, `["a", "b", "c"]`, `["b", "x"]`},
		{`mask := ["/input/groups/1/0", "/input/groups/1/1", "/input/groups/0"]`, `["a", ["b", "c", "d"]]`, `[["d"]]`},
		{`mask := ["/input/groups/1/x", "/input/groups/0"]`, `["a", {"x": 1, "y": ["z"]}]`, `[{"y": ["z"]}]`},
		{`mask := ["/input/groups/7", "/input/groups/-1"]`, `["a"]`, `["a"]`},
	} {
		f := logFilter(t, c.rules)
		var m, want map[string]any
		for to, text := range map[*map[string]any]string{&m: c.groups, &want: c.want} {
			if err := json.Unmarshal([]byte(`{"input": {"groups": `+text+`}}`), to); err != nil {
				t.Fatal(err)
			}
		}
		if drop, err := f.Apply(t.Context(), m); drop || err != nil || !reflect.DeepEqual(m["input"], want["input"]) {
			t.Errorf("%s of %s: %v, %v, %v; want %s", c.rules, c.groups, m["input"], drop, err, c.want)
		}
	}
}

func TestMasksThatCannotBeAppliedAreErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rule, want string }{
		{`mask contains "/labels/app"`, "below /input, /result"}, {`mask contains "input"`, "no JSON pointer"},
		{`mask contains {"op": "swap", "path": "/input/a"}`, "no operation"}, {`mask := 5`, "no set or array"},
	} {
		f := logFilter(t, c.rule)
		if _, err := f.Apply(t.Context(), map[string]any{"input": map[string]any{"a": "b"}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.rule, err, c.want)
		}
	}
	for _, text := range []string{"package system.log\n\nother := 1\n", "package system.log\n\nmask contains http.send({}).x\n", "package system.log\n\nmask contains x\n"} {
		if _, err := logPolicy(t, text); err == nil {
			t.Errorf("compiled %q", text)
		}
	}
}

func TestAJudgeKnowsWhatItsPolicyReads(t *testing.T) {
	t.Parallel()
	p, err := engine.Compile(engine.Source{Modules: map[string]string{"a.rego": `package neosc.authz

decision := {"allowed": true, "reasons": [input.session.claims.x.y, input.session.user.email]} if input.session.roles[_] == "a"

decision := {"allowed": false} if not input.session
`}}, engine.Edge{})
	if err != nil {
		t.Fatal(err)
	}
	j := engine.NewJudge(p)
	if j.Slow() != "" {
		t.Fatal(j.Slow())
	}
	for path, want := range map[string]bool{
		"session": true, "session.claims": true, "session.claims.x": true, "session.claims.x.y": true, "session.claims.x.y.z": true, "session.claims.z": false,
		"session.user.email": true, "session.user.name": false, "session.roles.0": true, "attributes.request.http.path": false, "parsed_query.token": false,
	} {
		if got := j.Reads(strings.Split(path, ".")); got != want {
			t.Errorf("%s is read: %v", path, got)
		}
	}
}
