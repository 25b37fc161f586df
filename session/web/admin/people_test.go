package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func TestPersonIsTheNewestLiveSessionOrTheAccount(t *testing.T) {
	t.Parallel()
	x := newRig(t)
	if _, err := x.AddUser(t.Context(), NewUser{Email: "nora@kappa4.com", Roles: []string{"user"}, Password: "a long enough one"}); err != nil {
		t.Fatal(err)
	}
	p, err := x.Person(t.Context(), "NORA@kappa4.com")
	if err != nil || p.Key != "" || len(p.Session.Identity.Roles) != 1 || p.Session.Identity.Roles[0] != "user" || p.Session.Kind != session.Browser {
		t.Errorf("account: %+v %v", p, err)
	}
	c, err := x.CreateSession(t.Context(), NewSession{Email: "nora@kappa4.com", Roles: []string{"admin"}, Claims: map[string]any{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	p, err = x.Person(t.Context(), "nora@kappa4.com")
	if err != nil || p.Key != c.Key || p.Session.Identity.Roles[0] != "admin" || !p.Session.ExpiresAt.Equal(c.ExpiresAt) {
		t.Errorf("session: %+v %v", p, err)
	}
	if len(p.Session.Identity.Claims) != 0 {
		t.Error("claims are shown though nothing masks them")
	}
	_, err = x.Person(t.Context(), "nobody@kappa4.com")
	status(t, err, http.StatusNotFound)
}

func TestPersonIsMaskedAndDecisionsAreAskedByID(t *testing.T) {
	t.Parallel()
	x := newRig(t)
	o := x.handler.(*API).o
	o.Mask = func(s *session.Session) *session.Session {
		c := s.Clone()
		c.Identity.Claims = map[string]any{"masked": true}
		return c
	}
	o.Decision = func(_ context.Context, id string) (any, error) {
		if id != "a b/c" {
			return nil, NotFound("no %s", id)
		}
		return map[string]string{"verdict": "deny"}, nil
	}
	o.Logger, o.Clock = slog.New(slog.DiscardHandler), func() time.Time { return noon }
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.CreateSession(t.Context(), NewSession{Email: "nora@kappa4.com", Claims: map[string]any{"token": "s3cr3t"}}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]string{
		"/v1/people/nora@kappa4.com":     {"200", `"claims":{"masked":true}`},
		"/v1/people/nora@kappa4.com?x=1": {"400", "parameter"},
		"/v1/decisions/a%20b%2Fc":        {"200", `{"verdict":"deny"}`},
		"/v1/decisions/other":            {"404", "no other"},
		"/v1/decisions/other?x=1":        {"400", "parameter"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if got := w.Body.String(); w.Code != map[string]int{"200": 200, "400": 400, "404": 404}[want[0]] || !strings.Contains(got, want[1]) || strings.Contains(got, "s3cr3t") {
			t.Errorf("%s: %d %s", path, w.Code, got)
		}
	}
	// A gate that remembers no decisions has no such page.
	_, err = x.Decision(t.Context(), "other")
	if p := status(t, err, http.StatusNotFound); !strings.Contains(p.Detail, "the admin API has no") {
		t.Errorf("%s", p.Detail)
	}
}
