package engine_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/neosc/gate/authz/engine"
)

// TestJudgeThatRemembersSaysTheSame: first, again, and of OPA's evaluator; and it
// does keep what it has decided.
func TestJudgeThatRemembersSaysTheSame(t *testing.T) {
	t.Parallel()
	p := mustCompile(t, rego(`default decision := {"allowed": false, "reasons": ["shut"]}
decision := {"allowed": true, "reasons": ["open"], "headers": {"x-session-id": input.parsed_path[0]}} if input.attributes.request.http.method == "GET"`))
	plain, remembers := engine.NewJudge(p), engine.NewJudge(p)
	remembers.Remember(1 << 20)
	for _, method := range []string{"GET", "POST", "GET"} {
		r := testRequest()
		r.Method = method
		want, err := plain.Decide(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		first, err := remembers.Decide(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := remembers.Decide(context.Background(), r)
		if err != nil || !reflect.DeepEqual(first, want) || !reflect.DeepEqual(again, want) {
			t.Errorf("%s: %v, %+v and %+v, want %+v", method, err, first, again, want)
		}
		third, err := remembers.Decide(context.Background(), r)
		if err != nil || third != again {
			t.Errorf("%s: it remembers nothing: %v", method, err)
		}
		if !remembers.Confirm(context.Background(), r, third, err) {
			t.Errorf("%s: OPA's evaluator says otherwise", method)
		}
	}
}
