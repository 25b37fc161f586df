package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// trail keeps events in memory.
type trail struct {
	mu     sync.Mutex
	events []session.Event
	asked  session.AuditQuery
	down   bool
	// pause has searches for a text look at one entry at a time.
	pause bool
}

func (t *trail) Append(_ context.Context, events ...session.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down {
		return fmt.Errorf("%w: the disk is full", session.ErrUnavailable)
	}
	t.events = append(t.events, events...)
	return nil
}

func (t *trail) Entries(_ context.Context, q session.AuditQuery) ([]session.AuditEntry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked = q
	var out []session.AuditEntry
	if t.down {
		return nil, session.ErrUnavailable
	}
	if q.Text != "" && t.pause {
		at := len(t.events)
		if q.Before > 0 {
			at = int(q.Before) - 1
		}
		if at < 1 {
			return nil, nil
		}
		e := t.events[at-1]
		if strings.Contains(e.User.Email, q.Text) {
			out = append(out, session.AuditEntry{Number: uint64(at), Event: e, Hash: "aa"})
		}
		if at == 1 {
			return out, nil
		}
		return out, &session.AuditPaused{Before: uint64(at)}
	}
	for i, e := range t.events {
		if (q.User == "" || e.User.ID == q.User) && (q.Before == 0 || uint64(i) < q.Before-1) {
			out = append(out, session.AuditEntry{Number: uint64(i + 1), Event: e, Hash: "aa"})
		}
	}
	slices.Reverse(out)
	return out[:min(len(out), q.Limit)], nil
}

func audited(t *trail) func(*Options) {
	return func(o *Options) { o.Audit, o.AuditLog = t, t }
}

func TestSignInsAndSignOutsAreInTheTrail(t *testing.T) {
	t.Parallel()
	kept := &trail{}
	b := newHouse(t, audited(kept)).browser()
	page := text(t, b.do("GET", "/oauth2/sign_in", nil))
	b.do("POST", "/oauth2/sign_in", url.Values{"email": {"hunter2 typed here"}, "password": {"x"}, "csrf": {token(t, page)}})
	if resp := b.signIn(portal + "/"); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign-in: %s", resp.Status)
	}
	b.do("POST", "/oauth2/sign_out", url.Values{})
	var got []string
	for _, e := range kept.events {
		if e.ClientIP != "203.0.113.9" || e.RequestID != "req-1" {
			t.Errorf("%s came from %+v", e.Action, e.Origin)
		}
		got = append(got, fmt.Sprint(e.Action, " ", e.Outcome, " ", e.User.Email, e.Details["reason"]))
	}
	want := []string{"login denied credentials", "login success nora@kappa4.com", "logout success nora@kappa4.com"}
	if !slices.Equal(got, want) {
		t.Errorf("the trail says %q, want %q", got, want)
	}
	if all := fmt.Sprint(kept.events); strings.Contains(all, "hunter2") || strings.Contains(all, "sealed-") {
		t.Errorf("the trail has a secret: %s", all)
	}
}

func TestASignInThatCannotBeKeptDoesNotComeAbout(t *testing.T) {
	t.Parallel()
	kept := &trail{down: true}
	b := newHouse(t, audited(kept)).browser()
	resp := b.signIn(portal + "/")
	if resp.StatusCode != http.StatusServiceUnavailable || b.cookies["_pomerium"] != "" || len(b.sessions.values()) != 0 {
		t.Errorf("%s, cookies %v, sessions %v; want 503 and neither", resp.Status, b.cookies, b.sessions.values())
	}
}

func TestASignOutThatCannotBeKeptEndsTheSessionAllTheSame(t *testing.T) {
	t.Parallel()
	kept := &trail{}
	b := newHouse(t, audited(kept)).browser()
	b.signIn(portal + "/")
	kept.down = true
	resp := b.do("POST", "/oauth2/sign_out", url.Values{})
	if resp.StatusCode != http.StatusOK || b.cookies["_pomerium"] != "" || len(b.sessions.values()) != 0 {
		t.Errorf("%s, cookies %v, sessions %v; want 200 and neither", resp.Status, b.cookies, b.sessions.values())
	}
	if !strings.Contains(b.log.String(), "not in the audit trail") {
		t.Errorf("nothing is said of it: %s", b.log)
	}
}

// TestRefusedSignInsCannotFillTheTrail: so many a minute are kept, and the first
// one of the next minute says how many were not.
func TestRefusedSignInsCannotFillTheTrail(t *testing.T) {
	t.Parallel()
	kept, now := &trail{}, noon
	h := newHouse(t, audited(kept), func(o *Options) { o.Clock = func() time.Time { return now } }).h
	refuse := func(n int) {
		for range n {
			h.auditRefused(t.Context(), session.ActionSSOLogin, "idp", "denied")
		}
	}
	refuse(maxRefused + 7)
	if n := len(kept.events); n != maxRefused {
		t.Errorf("%d entries in a minute, want %d", n, maxRefused)
	}
	now = now.Add(time.Minute)
	refuse(2)
	for i, want := range []string{"7", ""} {
		if got := kept.events[maxRefused+i].Details["not_kept_before"]; got != want {
			t.Errorf("entry %d of the next minute says %q were not kept, want %q", i+1, got, want)
		}
	}
}

// tokens knows one token of an administrator.
type tokens struct{}

func (tokens) ByBearer(_ context.Context, token string, _ time.Time) (*session.Session, error) {
	if token == "admin-token" {
		return &session.Session{Kind: session.Service, Identity: session.Identity{UserID: "root", Roles: []string{"admin"}}}, nil
	}
	return nil, session.ErrInvalid
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func TestAuditLogsAreOnesOwnOrAnAdministrators(t *testing.T) {
	t.Parallel()
	kept := &trail{}
	b := newHouse(t, audited(kept), func(o *Options) { o.Tokens = tokens{} }).browser()
	if resp := b.do("GET", "/api/audit-logs", nil); resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("nobody gets %s", resp.Status)
	}
	b.signIn(portal + "/")
	kept.events = append(kept.events, session.Event{Action: session.ActionLogin, Outcome: session.OutcomeDenied, User: session.Person{ID: "u2"}, Details: map[string]string{"reason": "credentials", "provider": "local"}})
	for name, tt := range map[string]struct {
		query  string
		edit   []func(*http.Request)
		status int
		ids    string
	}{
		"OnesOwn":         {"", nil, 200, "1"},
		"OnesOwnByName":   {"?user=u1", nil, 200, "1"},
		"Anothers":        {"?user=u2", nil, 403, ""},
		"Admins":          {"", []func(*http.Request){bearer("admin-token")}, 200, "2 1"},
		"AdminsOfOne":     {"?user=u2", []func(*http.Request){bearer("admin-token")}, 200, "2"},
		"WrongToken":      {"", []func(*http.Request){bearer("other")}, 401, ""},
		"NoBearer":        {"", []func(*http.Request){func(r *http.Request) { r.Header.Set("Authorization", "Basic eDp5") }}, 401, ""},
		"UnknownFilter":   {"?mail=x", nil, 400, ""},
		"LimitTooLarge":   {"?limit=1001", nil, 400, ""},
		"OddInstant":      {"?since=yesterday", nil, 400, ""},
		"FilterTwice":     {"?action=a&action=b", nil, 400, ""},
		"EverythingKnown": {"?action=login&since=2026-03-05T10:00:00Z&until=2026-03-06T10:00:00Z&before=9&limit=5", nil, 200, "1"},
	} {
		resp := b.do("GET", "/api/audit-logs"+tt.query, nil, tt.edit...)
		body := text(t, resp)
		if resp.StatusCode != tt.status || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s, want %d: %s", name, resp.Status, tt.status, body)
			continue
		}
		if tt.status != http.StatusOK {
			continue
		}
		var list []AuditLog
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var ids []string
		for _, l := range list {
			ids = append(ids, l.ID)
		}
		if strings.Join(ids, " ") != tt.ids {
			t.Errorf("%s: entries %v, want %s", name, ids, tt.ids)
		}
	}
}

func TestAuditLogsHaveTheFieldsThatClientsKnowAndNameTheNextPage(t *testing.T) {
	t.Parallel()
	kept := &trail{}
	b := newHouse(t, audited(kept), func(o *Options) { o.Tokens = tokens{} }).browser()
	b.signIn(portal + "/")
	kept.events = append(kept.events, kept.events[0])
	resp := b.do("GET", "/api/audit-logs?limit=1&action=login", nil, bearer("admin-token"))
	var list []map[string]any
	if err := json.Unmarshal([]byte(text(t, resp)), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	for name, want := range map[string]any{
		"id": "2", "user_id": "u1", "user_email": "nora@kappa4.com", "action": "login", "resource": "auth", "success": true,
		"details": "amr= provider=local roles=neosc", "client_ip": "203.0.113.9",
	} {
		if list[0][name] != want {
			t.Errorf("%s is %v, want %v", name, list[0][name], want)
		}
	}
	if link := resp.Header.Get("Link"); link != `</api/audit-logs?action=login&before=2&limit=1>; rel="next"` {
		t.Errorf("Link: %s", link)
	}
}

func TestAuditLogsComeAsCSVAndLinesOfJSON(t *testing.T) {
	t.Parallel()
	kept := &trail{}
	b := newHouse(t, audited(kept), func(o *Options) { o.Tokens = tokens{} }).browser()
	kept.events = []session.Event{
		{Action: session.ActionLogin, Outcome: session.OutcomeSuccess, User: session.Person{ID: "u1"}, Origin: session.Origin{UserAgent: `=cmd|' /C calc'!A0`}, Details: map[string]string{"x": `a "b", c`}},
		{Action: session.ActionLogout, Outcome: session.OutcomeSuccess, User: session.Person{ID: "u1"}},
	}
	for name, tt := range map[string]struct {
		query, accept, mediaType string
		lines                    int
		has                      string
	}{
		"Lines":         {"?format=ndjson", "", "application/x-ndjson", 2, `"action":"logout"`},
		"LinesByAccept": {"", "text/html;q=0.1, application/x-ndjson;q=0.5, application/json;q=0.3", "application/x-ndjson", 2, `"id":"2"`},
		"CSV":           {"?format=csv", "", "text/csv", 3, "id,timestamp,action"},
		"CSVByAccept":   {"", "text/csv", "text/csv", 3, `"x=a ""b"", c"`},
		"NoFormula":     {"?format=csv", "", "text/csv", 3, `,'=cmd|`},
		"FormatWins":    {"?format=json", "text/csv", "application/json", 1, `[{"id":"2"`},
		"Anything":      {"", "*/*", "application/json", 1, `[{"id":"2"`},
	} {
		resp := b.do("GET", "/api/audit-logs"+tt.query, nil, bearer("admin-token"), func(r *http.Request) {
			if tt.accept != "" {
				r.Header.Set("Accept", tt.accept)
			}
		})
		body := text(t, resp)
		if resp.Header.Get("Content-Type") != tt.mediaType || strings.Count(body, "\n") != tt.lines || !strings.Contains(body, tt.has) {
			t.Errorf("%s: %s %s", name, resp.Header.Get("Content-Type"), body)
		}
	}
	if resp := b.do("GET", "/api/audit-logs?format=xml", nil, bearer("admin-token")); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("xml: %s", resp.Status)
	}
	resp := b.do("GET", "/api/audit-logs?format=csv&limit=1", nil, bearer("admin-token"))
	if link := resp.Header.Get("Link"); link != `</api/audit-logs?before=2&format=csv&limit=1>; rel="next"` {
		t.Errorf("Link: %s", link)
	}
}
