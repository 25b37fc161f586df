package extauthz

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/extauthz/wire"
	"github.com/neosc/gate/session"
)

// Whatever is asked and decided, the answer's bytes decode to what the generated
// messages say of the same outcome; where those cannot be encoded at all, the
// answer is trouble of ours.
func TestAnswersDecodeToTheGeneratedOnes(t *testing.T) {
	t.Parallel()
	// Some texts are drawn often, so that names repeat and rules apply.
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "x-pomerium-a", "x-pomerium-b", "content-type", "route", "user", "\xff", "é", "a b", "1~"}), rapid.String())
	settable := rapid.OneOf(rapid.SampledFrom([]string{"x-pomerium-a", "x-pomerium-b", "x-pomerium-c"}), rapid.SampledFrom([]string{"x-pomerium-a", assertionHeader, "host", "x-pomerium-\xff"}))
	rapid.Check(t, func(t *rapid.T) {
		f := newFixture()
		decision, failure := drawDecision(t, text, settable)
		f.decide = func(*authz.Request) (*authz.Decision, error) {
			d := *decision
			return &d, failure
		}
		if rapid.IntRange(0, 9).Draw(t, "unsigned") == 0 {
			f.unsigned = errors.New("no key")
		}
		if rapid.Bool().Draw(t, "anonymous") {
			f.session = nil
		} else {
			f.session.Identity.Email = text.Draw(t, "email")
			f.session.Kind = rapid.SampledFrom([]session.Kind{session.Browser, session.Browser, session.Service}).Draw(t, "kind")
		}
		f.spent = authz.Spent{Allowed: rapid.IntRange(0, 3).Draw(t, "within limits") > 0, RetryAfter: time.Second}
		route, method, path, headers := drawCheck(t, text)
		in, err := proto.Marshal(check(route, method, path, headers...))
		if err != nil {
			t.Fatal(err)
		}
		s := f.newServer(t)
		var r authz.Request
		readRequest(string(in), &wire.Scanner{}, &r, f, noon)
		want := generated{s.opt}.answer(&r, s.opt.Decider.Decide(t.Context(), &r))
		got, err := decoded(t.Context(), s, string(in))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proto.Marshal(want); err != nil {
			if got.GetErrorResponse().GetStatus().GetCode() != 503 || got.GetStatus().GetCode() == 0 {
				t.Fatalf("an answer that cannot be encoded (%v) became %v", err, got)
			}
			return
		}
		if !proto.Equal(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

func drawCheck(t *rapid.T, text *rapid.Generator[string]) (route, method, path string, headers []string) {
	route = rapid.SampledFrom([]string{"portal", "tokens", "told", "gate", "nowhere"}).Draw(t, "route")
	method = rapid.SampledFrom([]string{"GET", "GET", "POST", "TRACE"}).Draw(t, "method")
	for range rapid.IntRange(0, 6).Draw(t, "headers") {
		headers = append(headers, rapid.SampledFrom([]string{"cookie", "cookie", "authorization", "accept", "sec-fetch-mode", "origin", "x-request-id", "upgrade"}).Draw(t, "name"),
			rapid.OneOf(text, rapid.SampledFrom([]string{
				"_pomerium=s", "a=1; _pomerium=s; b=2", "a=\xff; _POMERIUM=s", " a=1 ", "Bearer x", "text/html", "navigate", "https://told.example.com",
			})).Draw(t, "value"))
	}
	// A path that is no UTF-8 is no message; what becomes of such bytes is the
	// scanner's to test.
	if rapid.IntRange(0, 4).Draw(t, "second factor's page") == 0 {
		return route, method, "/oauth2/second_factor" + rapid.SampledFrom([]string{"", "?rd=x", "/"}).Draw(t, "query"), headers
	}
	return route, method, "/" + strings.ToValidUTF8(text.Draw(t, "path"), "?"), headers
}

func drawDecision(t *rapid.T, text, settable *rapid.Generator[string]) (*authz.Decision, error) {
	if rapid.IntRange(0, 9).Draw(t, "policy fails") == 0 {
		return &authz.Decision{}, errors.New("boom")
	}
	some := func(what string, name *rapid.Generator[string]) (hs []authz.Header) {
		for range rapid.IntRange(0, 4).Draw(t, what) {
			hs = append(hs, authz.Header{Name: name.Draw(t, "name"), Value: text.Draw(t, "value")})
		}
		return hs
	}
	texts := func(what string) []string { return rapid.SliceOfN(text, 0, 3).Draw(t, what) }
	d := &authz.Decision{
		Allowed: rapid.IntRange(0, 3).Draw(t, "allowed") > 0, Headers: some("headers", settable), ResponseHeaders: some("response headers", text),
		RemoveRequestHeaders: texts("removed"), QueryRemove: texts("parameters removed"), Revision: text.Draw(t, "revision"), Body: text.Draw(t, "body"),
		Reasons: rapid.SampledFrom([][]string{{"matched_policy"}, {"unauthenticated"}, {"mfa_required"}, {"step_up_required"}, {"mfa_required", "outside_business_hours"}, {"read_only", "role_required"}}).Draw(t, "reasons"),
		Status:  rapid.SampledFrom([]int{0, 0, 418, 401}).Draw(t, "status"), Explain: rapid.Bool().Draw(t, "explain"),
	}
	for _, h := range some("parameters", rapid.SampledFrom([]string{"tenant", "a", "a b"})) {
		d.QuerySet = append(d.QuerySet, authz.QueryParameter(h))
	}
	if rapid.Bool().Draw(t, "charged") {
		d.Charges = []authz.Charge{{Name: "user", Key: "k", Rate: 1, Burst: 1, Cost: 1}}
	}
	if rapid.IntRange(0, 3).Draw(t, "ends") == 0 {
		d.StreamUntil = noon.Add(time.Duration(rapid.IntRange(-1, 1e12).Draw(t, "end")))
	}
	if rapid.Bool().Draw(t, "metadata") {
		d.Metadata = map[string]any{}
		for _, name := range texts("keys") {
			d.Metadata[name] = rapid.SampledFrom([]any{nil, true, 1.5, "x", "\xff", []any{"a"}, map[string]any{"b": 1.0}, make(chan int)}).Draw(t, "value")
		}
	}
	return d, nil
}
