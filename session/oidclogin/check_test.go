package oidclogin

import (
	"fmt"
	"log/slog"
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
	refuses := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":%q,"error_description":"<script>"}`, code)
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
		{"UnknownClient", func(h *hostile) {
			h.answer["/auth"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }
			h.answer["/token"] = refuses(401, "invalid_client")
		}, "mend client_id (or ZITADEL_CLIENT_ID), which is gate"},
		{"CredentialOfAnother", func(h *hostile) { h.answer["/token"] = refuses(400, "unauthorized_client") }, "client_auth is none, and the client there must be a public one"},
		{"CodeOfNobody", func(h *hostile) {
			h.answer["/auth"], h.answer["/token"] = redirect("/login"), refuses(400, "invalid_grant")
		}, ""},
		{"TokenEndpointTrouble", func(h *hostile) {
			h.answer["/auth"], h.answer["/token"] = redirect("/login"), refuses(500, "server_error")
		}, ""},
		{"TokenEndpointElsewhere", func(h *hostile) { h.answer["/token"] = redirect("/elsewhere") }, "redirects are not followed"},
		{"RedirectOfAnAppUnknown", func(h *hostile) {
			h.answer["/auth"] = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("redirect_uri") == appURI {
					w.WriteHeader(http.StatusBadRequest)
				}
			}
		}, "register the redirect URI " + appURI},
		{"Away", func(h *hostile) { h.Close() }, "ZITADEL_AUTHORITY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *Options) {
				o.Providers = o.Providers[:1]
				o.Providers[0].AppRedirectURIs = []string{appURI}
			})
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

func TestWhatCanBeKnownOfAProjectIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, project string
		zitadel       bool
		want          []string
	}{
		{"None", "", true, nil},
		{"AsZitadelMakesThem", "360327617871609860", true, []string{"shows when somebody signs in"}},
		{"AName", "neosc", true, []string{"shows when somebody signs in", "it is not the project's name"}},
		{"AnotherProvider", "360327617871609860", false, []string{"shows when somebody signs in", "does not look like one"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *Options) { o.Providers = o.Providers[:1]; o.Providers[0].ProjectID = c.project })
			r.idp.answer["/auth"] = func(http.ResponseWriter, *http.Request) {}
			if c.zitadel {
				r.idp.metadata["authorization_endpoint"], r.idp.metadata["token_endpoint"] = r.idp.URL+"/oauth/v2/authorize", r.idp.URL+"/oauth/v2/token"
				r.idp.answer["/oauth/v2/authorize"] = r.idp.answer["/auth"]
				r.idp.answer["/oauth/v2/token"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }
			}
			got := r.Logins.check(t.Context(), true)[0]
			if got.Err != nil || len(got.Notes) != len(c.want) {
				t.Fatalf("%+v", got)
			}
			for i, want := range c.want {
				if !strings.Contains(got.Notes[i], want) {
					t.Errorf("%q lacks %q", got.Notes[i], want)
				}
			}
		})
	}
}

func TestIDsThatAreNoProjectsAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"gate": "is the client_id", "311@neosc": "is no id", "my project": "is no id", "urn:zitadel:iam": "is no id", strings.Repeat("9", 201): "is no id",
	} {
		_, err := Check(t.Context(), Options{GateOrigin: gateOrigin, Providers: []Provider{{ID: "one", Issuer: "https://id.example", ClientID: "gate", ProjectID: id}}}, false)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "ZITADEL_PROJECT_ID") {
			t.Errorf("%q: %v, want %q", id, err, want)
		}
	}
}

// What no check can know a sign-in shows.
func TestAProjectThatTokensDoNotNameIsSaidOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		audience any
		says     int
	}{
		"Named":   {[]string{"gate", "p1"}, 0},
		"Missing": {"gate", 1},
	} {
		var log strings.Builder
		r := newRig(t, func(o *Options) {
			o.Providers[0].ProjectID = "p1"
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		r.idp.claims["aud"], r.idp.claims["azp"] = c.audience, "gate"
		for range 3 {
			if _, err := r.signIn(t); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(log.String(), "does not name project_id"); n != c.says {
			t.Errorf("%s: it was said %d times, want %d", name, n, c.says)
		}
	}
}
