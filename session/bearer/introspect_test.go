package bearer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/bearer"
	"github.com/neosc/gate/session/claims"
)

// ours takes opaque tokens of the rig's provider.
func ours(o *bearer.Options) {
	o.Providers[0].Introspection = &bearer.Introspection{ClientID: "gate:1", ClientSecret: "s%cret &é"}
}

// activeAnswer is what a provider says of a good token, with changes.
func (r *rig) activeAnswer(change map[string]any) map[string]any {
	return r.claims(merge(map[string]any{"active": true, "token_type": "Bearer"}, change))
}

func merge(a, b map[string]any) map[string]any {
	a = maps.Clone(a)
	maps.Copy(a, b)
	return a
}

func (r *rig) answer(status int, body any) {
	r.idp.set(func() { r.idp.answer = func(*http.Request) (int, any) { return status, body } })
}

func TestAnOpaqueTokenOpensASession(t *testing.T) {
	r := newRig(t, ours)
	var got url.Values
	var header http.Header
	var user, password string
	r.idp.answer = func(q *http.Request) (int, any) {
		_ = q.ParseForm()
		got, header = q.PostForm, q.Header
		user, password, _ = q.BasicAuth()
		return 200, r.activeAnswer(nil)
	}
	s := r.accept(t, "opaque-1")
	if s.Kind != session.Bearer || s.Identity.UserID != claims.UserID(r.idp.URL, "7") || !s.ExpiresAt.Equal(base.Add(time.Hour)) || s.Key != bearer.Key("opaque-1") {
		t.Errorf("%+v", s)
	}
	if got.Get("token") != "opaque-1" || got.Get("token_type_hint") != "access_token" || len(got) != 2 || header.Get("Accept") != "application/json" {
		t.Errorf("asked with %v, %v", got, header)
	}
	// RFC 6749, 2.3.1 and Appendix B.
	if user != "gate%3A1" || password != "s%25cret+%26%C3%A9" {
		t.Errorf("authenticated as %q, %q", user, password)
	}
}

func TestAnswersThatDoNotHold(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]any
		reason string
	}{
		"Inactive":               {map[string]any{"active": false}, "inactive"},
		"ActiveAsText":           {map[string]any{"active": "true"}, "inactive"},
		"ActiveAsNumber":         {map[string]any{"active": 1}, "inactive"},
		"NotSaid":                {map[string]any{"active": nil}, "inactive"},
		"ActiveInAnotherCase":    {map[string]any{"active": nil, "Active": true}, "inactive"},
		"RefreshToken":           {map[string]any{"token_type": "Refresh"}, "type"},
		"NoTokenType":            {map[string]any{"token_type": nil}, "type"},
		"ProofOfPossession":      {map[string]any{"token_type": "DPoP"}, "type"},
		"Bound":                  {map[string]any{"cnf": map[string]any{"jkt": "x"}}, "bound"},
		"OtherIssuer":            {map[string]any{"iss": "https://evil.example"}, "issuer"},
		"OtherAudience":          {map[string]any{"aud": "other"}, "audience"},
		"NoAudience":             {map[string]any{"aud": nil}, "audience"},
		"Expired":                {map[string]any{"exp": base.Unix()}, "expired"},
		"NotYet":                 {map[string]any{"nbf": base.Add(time.Hour).Unix()}, "time"},
		"NoSubject":              {map[string]any{"sub": nil}, "identity"},
		"RoleWithAComma":         {map[string]any{"roles": []string{"a,b"}}, "identity"},
		"OtherClient":            {map[string]any{"client_id": "other"}, "client"},
		"AudienceOfAnotherShape": {map[string]any{"aud": 7}, "audience"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *bearer.Options) {
				ours(o)
				o.Providers[0].Clients = []string{"client"}
			})
			r.answer(200, r.activeAnswer(c.change))
			r.refuse(t, "opaque", c.reason)
		})
	}
}

func TestAnswersThatHold(t *testing.T) {
	for name, change := range map[string]map[string]any{
		"Plain":      {},
		"NoIssuer":   {"iss": nil},
		"LowerCase":  {"token_type": "bearer"},
		"NoTimes":    {"iat": nil, "nbf": nil, "exp": nil},
		"NoAudience": {"aud": nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *bearer.Options) {
				ours(o)
				o.Providers[0].Introspection.AllowNoAudience = true
			})
			r.answer(200, r.activeAnswer(change))
			if s := r.accept(t, "opaque"); !s.LiveAt(base) || s.ExpiresAt.After(base.Add(time.Hour)) {
				t.Errorf("live until %v", s.ExpiresAt)
			}
		})
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   any
	}{
		"WeAreNotKnown": {401, nil},
		"WeMayNotAsk":   {400, nil},
		"NotFound":      {404, nil},
		"Failure":       {500, nil},
		"Redirect":      {307, nil},
		"NoJSON":        {200, []byte("active")},
		"NoObject":      {200, []byte("true")},
		"TwoAnswers":    {200, []byte(`{"active":false,"active":true}`)},
		"TooLong":       {200, map[string]any{"active": true, "x": strings.Repeat("x", 64<<10)}},
		"TooDeep":       {200, []byte(`{"active":true,"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ours)
			r.answer(c.status, c.body)
			r.unavailable(t, "opaque")
			r.unavailable(t, "opaque2")
			if n := r.idp.questions.Load(); n != 1 {
				t.Errorf("asked %d times, want once in a second", n)
			}
			r.clock.Advance(time.Second)
			r.answer(200, r.activeAnswer(nil))
			r.accept(t, "opaque")
		})
	}
}

func TestAnswersCountForHalfAMinute(t *testing.T) {
	r := newRig(t, ours)
	r.answer(200, r.activeAnswer(nil))
	first := r.accept(t, "opaque")
	r.clock.Advance(30*time.Second - time.Nanosecond)
	if r.accept(t, "opaque") != first || r.idp.questions.Load() != 1 {
		t.Error("asked again too early")
	}
	r.answer(200, r.activeAnswer(map[string]any{"roles": []string{"admin"}}))
	r.clock.Advance(time.Nanosecond)
	second := r.accept(t, "opaque")
	if second.Key != first.Key || second.Version == first.Version {
		t.Errorf("other claims need another version of the same session: %d and %d", first.Version, second.Version)
	}
	r.clock.Advance(30 * time.Second)
	r.idp.set(func() { r.idp.fail = 503 })
	r.unavailable(t, "opaque")
	r.idp.set(func() { r.idp.fail = 0 })
	r.clock.Advance(time.Second)
	r.answer(200, map[string]any{"active": false})
	r.refuse(t, "opaque", "inactive")
}

func TestAnAnswerNeverOutlivesItsToken(t *testing.T) {
	r := newRig(t, ours)
	r.answer(200, r.activeAnswer(map[string]any{"exp": base.Add(10 * time.Second).Unix()}))
	r.accept(t, "opaque")
	r.clock.Advance(10 * time.Second)
	r.refuse(t, "opaque", "expired")
}

func TestANoIsRememberedShortly(t *testing.T) {
	r := newRig(t, ours)
	r.answer(200, map[string]any{"active": false})
	for range 20 {
		r.refuse(t, "opaque", "inactive")
	}
	if n := r.idp.questions.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	r.clock.Advance(10 * time.Second)
	r.answer(200, r.activeAnswer(nil))
	r.accept(t, "opaque")
}

func TestParallelRequestsShareOneQuestionAndManyAreBounded(t *testing.T) {
	r := newRig(t, ours)
	var now, most, refused atomic.Int64
	gate := make(chan struct{})
	r.idp.answer = func(*http.Request) (int, any) {
		most.Store(max(most.Load(), now.Add(1)))
		<-gate
		now.Add(-1)
		return 200, r.activeAnswer(nil)
	}
	var wg sync.WaitGroup
	for i := range 400 {
		token := "shared"
		if i >= 100 {
			token = fmt.Sprint("own-", i)
		}
		wg.Go(func() {
			_, err := r.ask(token)
			switch {
			case errors.Is(err, session.ErrUnavailable):
				refused.Add(1)
			case err != nil:
				t.Error(err)
			}
		})
	}
	// All have come once the line is full and the rest is turned away.
	await(t, func() bool { return now.Load() == 16 && refused.Load() >= 301-16-256 })
	close(gate)
	wg.Wait()
	if most.Load() > 16 {
		t.Errorf("%d questions at once", most.Load())
	}
	if n := r.idp.questions.Load(); n > 16+256 {
		t.Errorf("%d questions, want one for the 100 that share a token, and at most 272 in line", n)
	}
}

func TestPrefixesTellProvidersApart(t *testing.T) {
	other := newIDP(t)
	r := newRig(t, func(o *bearer.Options) {
		ours(o)
		o.Providers[0].Introspection.Prefix = "on_"
		o.Providers = append(o.Providers, bearer.Provider{ID: "zitadel_cloud", Issuer: other.URL, Audiences: []string{audience},
			Introspection: &bearer.Introspection{ClientID: "g", ClientSecret: "s", Prefix: "cl_"}})
	})
	r.answer(200, r.activeAnswer(nil))
	other.answer = func(*http.Request) (int, any) { return 200, r.activeAnswer(map[string]any{"iss": other.URL}) }
	if a, b := r.accept(t, "on_1"), r.accept(t, "cl_1"); a.Identity.Provider != "zitadel_onprem" || b.Identity.Provider != "zitadel_cloud" {
		t.Errorf("%s and %s", a.Identity.Provider, b.Identity.Provider)
	}
	r.refuse(t, "xx_1", "unasked")
	if r.idp.questions.Load() != 1 || other.questions.Load() != 1 {
		t.Error("a provider was shown another's token")
	}
}

func TestWhatIsNeverAsked(t *testing.T) {
	r := newRig(t, ours)
	for token, reason := range map[string]string{
		"a b": "form", "a\nb": "form", "é": "form", "a&b": "form", strings.Repeat("a", 4097): "size",
		"a.b.c": "form", "a.b.c.d.e": "form", "": "size",
	} {
		r.refuse(t, token, reason)
	}
	if r.idp.questions.Load() != 0 {
		t.Error("it was asked")
	}
}

func TestPrivateKeyJWT(t *testing.T) {
	client := newECKey("c1")
	r := newRig(t, func(o *bearer.Options) {
		o.Providers[0].Introspection = &bearer.Introspection{ClientID: "gate", Key: &bearer.ClientKey{ID: "c1", Algorithm: "ES256", Private: client.private}}
	})
	var form url.Values
	r.idp.answer = func(q *http.Request) (int, any) {
		_ = q.ParseForm()
		form = q.PostForm
		if q.Header.Get("Authorization") != "" {
			t.Error("both ways of authentication at once")
		}
		return 200, r.activeAnswer(nil)
	}
	r.accept(t, "opaque")
	if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		t.Fatalf("form %v", form)
	}
	jws := must(jose.ParseSignedCompact(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256}))
	payload, err := jws.Verify(client.private.Public())
	if err != nil || jws.Signatures[0].Header.KeyID != "c1" {
		t.Fatal(err, jws.Signatures[0].Header)
	}
	var c struct {
		Iss, Sub, Jti string
		Aud           any
		Iat, Exp      int64
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatal(err)
	}
	if c.Iss != "gate" || c.Sub != "gate" || fmt.Sprint(c.Aud) != fmt.Sprint([]any{r.idp.URL}) && c.Aud != r.idp.URL || c.Jti == "" || c.Iat != base.Unix() || c.Exp != base.Unix()+60 {
		t.Errorf("assertion %s", payload)
	}
	// Nor does the assertion, which this key signed, open anything.
	r.idp.publish(client)
	r.refuse(t, form.Get("client_assertion"), "issuer")
}
