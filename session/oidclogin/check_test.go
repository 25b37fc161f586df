package oidclogin

import (
	"net/http"
	"strings"
	"testing"
)

func TestCheckSaysWhatIsWrongWithAProvider(t *testing.T) {
	t.Parallel()
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}
	}
	for _, c := range []struct {
		name   string
		change func(*hostile)
		want   string // "" for nothing wrong
	}{
		{"SignInPage", func(h *hostile) { h.answer["/auth"] = func(w http.ResponseWriter, _ *http.Request) {} }, ""},
		{"SignInElsewhere", func(h *hostile) { h.answer["/auth"] = redirect("/login?authRequest=1") }, ""},
		{"LoginRequired", func(h *hostile) { h.answer["/auth"] = redirect(gateOrigin + "/callback/one?error=login_required") }, ""},
		{"UnknownClientOrRedirect", func(h *hostile) {
			h.answer["/auth"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }
		}, "register the redirect URI " + gateOrigin + "/callback/one"},
		{"ScopeRefused", func(h *hostile) { h.answer["/auth"] = redirect(gateOrigin + "/callback/one?error=invalid_scope") }, "answered invalid_scope"},
		{"OddError", func(h *hostile) { h.answer["/auth"] = redirect(gateOrigin + "/callback/one?error=%1b[2J") }, "answered an odd error"},
		{"WrongAuthority", func(h *hostile) { h.metadata["issuer"] = h.URL + "/other" }, "set issuer to what it says"},
		{"NotAProvider", func(h *hostile) { h.answer["/.well-known/openid-configuration"] = http.NotFound }, "answered 404; is the issuer"},
		{"NoKeys", func(h *hostile) { h.keys = func() any { return map[string]any{"keys": []any{}} } }, "no usable key"},
		{"Away", func(h *hostile) { h.Close() }, "ZITADEL_AUTHORITY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *Options) { o.Providers = o.Providers[:1] })
			c.change(r.idp)
			got := r.Logins.check(t.Context(), true)
			if len(got) != 1 || got[0].Provider != "one" || (got[0].Err == nil) != (c.want == "") {
				t.Fatalf("%+v", got)
			}
			if c.want != "" && !strings.Contains(got[0].Err.Error(), c.want) {
				t.Errorf("%v, want %q", got[0].Err, c.want)
			}
		})
	}
}
