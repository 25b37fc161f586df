package replay_test

import (
	"testing"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles/replay"
)

// A header that is in no record may have been sent all the same, where the edge
// of the time did not forward it.
func TestWhatAnotherEdgeMayNotHaveForwardedIsNeverTheSame(t *testing.T) {
	t.Parallel()
	const headers = "/input/attributes/request/http/headers"
	always := []string{"accept", "origin"}
	for name, c := range map[string]struct {
		condition, recorded, header string
		missing                     string
	}{
		"SameRoutes":      {`not input.attributes.request.http.headers["x-tenant"]`, "now", "", ""},
		"OtherRoutes":     {`not input.attributes.request.http.headers["x-tenant"]`, "then", "", headers + "/x-tenant"},
		"RoutesUnknown":   {`not input.attributes.request.http.headers["x-tenant"]`, "", "", headers + "/x-tenant"},
		"HeaderThatCame":  {`input.attributes.request.http.headers["x-tenant"] == "1"`, "then", "x-tenant", ""},
		"AlwaysForwarded": {`not input.attributes.request.http.headers.origin`, "then", "", ""},
		"ReadsNone":       {`input.route.name == "portal"`, "then", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := small(t, c.condition, "")
			q := fullRequest("/a")
			q.Headers = authz.Headers{{Name: "accept", Value: "*/*"}}
			if c.header != "" {
				q.Headers = append(q.Headers, authz.Header{Name: c.header, Value: "1"})
			}
			q.Extensions = map[string]string{"route": "portal"}
			if c.recorded != "" {
				q.Extensions["routes"] = c.recorded
			}
			j := engine.NewJudge(p)
			r, err := replay.Log(t.Context(), replay.Options{Judge: j, Edge: replay.EdgeOf(j, "now", append(always, "x-tenant"), always)}, masked(t, p, q))
			switch {
			case err != nil || r.Records != 1:
				t.Fatalf("%v, report %+v", err, r)
			case c.missing == "" && r.Same != 1:
				t.Errorf("it is not the same: %+v, missing %+v", r, r.Missing)
			case c.missing != "" && (r.NotReplayable != 1 || r.Missing[0].Path != c.missing):
				t.Errorf("same %d, changed %d, missing %+v", r.Same, r.Changed, r.Missing)
			}
		})
	}
}
