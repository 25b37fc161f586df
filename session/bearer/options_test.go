package bearer_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session/bearer"
)

func TestOptionsThatAreRefused(t *testing.T) {
	asks := func(prefix string) *bearer.Introspection {
		return &bearer.Introspection{ClientID: "g", ClientSecret: "s", Prefix: prefix}
	}
	for name, c := range map[string]struct {
		change func(*bearer.Options)
		says   string
	}{
		"NoProvider":          {func(o *bearer.Options) { o.Providers = nil }, "no provider"},
		"NegativeCache":       {func(o *bearer.Options) { o.CacheSize = -1 }, "CacheSize"},
		"BadID":               {func(o *bearer.Options) { o.Providers[0].ID = "A b" }, "id must be"},
		"NoAudience":          {func(o *bearer.Options) { o.Providers[0].Audiences = nil }, "audience"},
		"EmptyAudience":       {func(o *bearer.Options) { o.Providers[0].Audiences = []string{""} }, "audience"},
		"EmptyClient":         {func(o *bearer.Options) { o.Providers[0].Clients = []string{""} }, "client"},
		"NoIssuer":            {func(o *bearer.Options) { o.Providers[0].Issuer = "" }, "issuer"},
		"IssuerInTheClear":    {func(o *bearer.Options) { o.Providers[0].Issuer = "http://id.example" }, "https://"},
		"IssuerWithAQuery":    {func(o *bearer.Options) { o.Providers[0].Issuer = "https://id.example?x" }, "issuer"},
		"IssuerWithAPassword": {func(o *bearer.Options) { o.Providers[0].Issuer = "https://a:b@id.example" }, "issuer"},
		"KeysInAFile":         {func(o *bearer.Options) { o.Providers[0].JWKSURL = "file:///keys" }, "JWKS"},
		"NoneAsAlgorithm":     {func(o *bearer.Options) { o.Providers[0].Algorithms = []string{"none"} }, "algorithm"},
		"HMACAsAlgorithm":     {func(o *bearer.Options) { o.Providers[0].Algorithms = []string{"ES256", "HS512"} }, "algorithm"},
		"LogoutAsType":        {func(o *bearer.Options) { o.Providers[0].Types = []string{"logout+jwt"} }, "type"},
		"EmptyType":           {func(o *bearer.Options) { o.Providers[0].Types = []string{""} }, "type"},
		"OneIssuerTwice":      {func(o *bearer.Options) { o.Providers[1].Issuer = o.Providers[0].Issuer }, "same id or issuer"},
		"OneIDTwice":          {func(o *bearer.Options) { o.Providers[1].ID = "a" }, "same id or issuer"},
		"TheGateItself":       {func(o *bearer.Options) { o.Own = []string{"https://b.example"} }, "gate itself"},
		"TwoAskedWithoutPrefix": {func(o *bearer.Options) {
			o.Providers[0].Introspection, o.Providers[1].Introspection = asks(""), asks("")
		}, "prefixes"},
		"PrefixOfAPrefix": {func(o *bearer.Options) {
			o.Providers[0].Introspection, o.Providers[1].Introspection = asks("a_b"), asks("a_")
		}, "prefixes"},
		"PrefixWithADot":         {func(o *bearer.Options) { o.Providers[0].Introspection = asks("a.b") }, "dot"},
		"NobodyAsks":             {func(o *bearer.Options) { o.Providers[0].Introspection = &bearer.Introspection{ClientSecret: "s"} }, "client id"},
		"AskedWithoutCredential": {func(o *bearer.Options) { o.Providers[0].Introspection = &bearer.Introspection{ClientID: "g"} }, "secret or a key"},
		"AskedWithTwo": {func(o *bearer.Options) {
			o.Providers[0].Introspection = asks("")
			o.Providers[0].Introspection.Key = &bearer.ClientKey{}
		}, "secret or a key"},
		"AskedWithoutAKey": {func(o *bearer.Options) {
			o.Providers[0].Introspection = &bearer.Introspection{ClientID: "g", Key: &bearer.ClientKey{Algorithm: "HS256"}}
		}, "private key"},
		"AskedInTheClear": {func(o *bearer.Options) {
			o.Providers[0].Introspection = asks("")
			o.Providers[0].Introspection.URL = "http://id.example/introspect"
		}, "https://"},
	} {
		t.Run(name, func(t *testing.T) {
			o := bearer.Options{Providers: []bearer.Provider{
				{ID: "a", Issuer: "https://a.example", Audiences: []string{"x"}},
				{ID: "b", Issuer: "https://b.example", Audiences: []string{"x"}},
			}}
			c.change(&o)
			if v, err := bearer.New(o); err == nil {
				v.Close()
				t.Error("accepted")
			} else if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want it to say %q", err, c.says)
			}
		})
	}
}

func TestMetricsTellWhatCameOfTokensAndNameNobody(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := newRig(t, func(o *bearer.Options) { o.Registerer = reg })
	token := r.token(t, nil)
	r.accept(t, token)
	r.accept(t, token)
	r.refuse(t, r.token(t, map[string]any{"aud": "other"}), "audience")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			got[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for key, want := range map[string]float64{
		"pomerium_bearer_tokens_total cached": 1, "pomerium_bearer_tokens_total verified": 1, "pomerium_bearer_tokens_total refused": 1,
		"pomerium_bearer_refused_total audience": 1, "pomerium_bearer_refused_total signature": 0, "pomerium_bearer_cached_tokens": 1,
		"pomerium_bearer_key_fetches_total zitadel_onprem ok": 1,
	} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s is %v, want %v", key, v, want)
		}
	}
}
