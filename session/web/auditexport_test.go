package web

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/neosc/gate/session"
)

// longTrail has 2,500 entries, of which every hundredth is about ben.
func longTrail() *trail {
	kept := &trail{}
	for n := range 2500 {
		who := session.Person{ID: "u1", Email: "ana@kappa4.com"}
		if n%100 == 0 {
			who = session.Person{ID: "u2", Email: "ben@kappa4.com"}
		}
		kept.events = append(kept.events, session.Event{Time: noon, Action: session.ActionLogin, Outcome: session.OutcomeSuccess, User: who, Actor: who})
	}
	return kept
}

func TestTheWholeTrailIsOneFile(t *testing.T) {
	t.Parallel()
	kept := longTrail()
	b := newHouse(t, audited(kept), func(o *Options) { o.Tokens = tokens{} }).browser()
	resp := b.do("GET", "/api/audit-logs?limit=all&format=csv", nil, bearer("admin-token"))
	rows, err := csv.NewReader(strings.NewReader(text(t, resp))).ReadAll()
	if err != nil || len(rows) != 2501 || rows[0][0] != "id" || rows[1][0] != "2500" || rows[2500][0] != "1" {
		t.Errorf("%s: %d rows, %v", resp.Status, len(rows), err)
	}
	resp = b.do("GET", "/api/audit-logs?limit=all&user=u2", nil, bearer("admin-token"), func(r *http.Request) { r.Header.Set("Accept", "application/x-ndjson") })
	if lines := strings.Count(text(t, resp), "\n"); lines != 25 || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%d lines of %s", lines, resp.Header.Get("Content-Type"))
	}
	if resp := b.do("GET", "/api/audit-logs?limit=all", nil, bearer("admin-token")); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("all of it as one array: %s", resp.Status)
	}
}

func TestASearchThatPausedNamesTheNextPageAndAFileGoesOnByItself(t *testing.T) {
	t.Parallel()
	kept := longTrail()
	kept.events, kept.pause = kept.events[:202], true
	b := newHouse(t, audited(kept), func(o *Options) { o.Tokens = tokens{} }).browser()
	resp := b.do("GET", "/api/audit-logs?q=ben", nil, bearer("admin-token"))
	if link := resp.Header.Get("Link"); text(t, resp) != "[]\n" || resp.Header.Get("Audit-Search") != "paused" || link != `</api/audit-logs?before=202&q=ben>; rel="next"` {
		t.Errorf("it says %q %q", resp.Header.Get("Audit-Search"), link)
	}
	resp = b.do("GET", "/api/audit-logs?q=ben&limit=all&format=ndjson", nil, bearer("admin-token"))
	if lines := strings.Count(text(t, resp), "\n"); lines != 3 {
		t.Errorf("%d lines, want 3", lines)
	}
	if resp := b.do("GET", "/api/audit-logs?q="+strings.Repeat("x", 257), nil, bearer("admin-token")); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a long text: %s", resp.Status)
	}
}

// tornTrail fails once it has given a page.
type tornTrail struct{ *trail }

func (t tornTrail) Entries(ctx context.Context, q session.AuditQuery) ([]session.AuditEntry, error) {
	if q.Before != 0 {
		return nil, fmt.Errorf("%w: the disk is gone", session.ErrUnavailable)
	}
	return t.trail.Entries(ctx, q)
}

func TestAFileThatCannotBeBroughtToItsEndIsTornOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.AuditLog, o.Tokens = tornTrail{longTrail()}, tokens{} }).h
	s := httptest.NewServer(h)
	defer s.Close()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/api/audit-logs?limit=all&format=csv", nil)
	if err != nil {
		t.Fatal(err)
	}
	bearer("admin-token")(req)
	req.Host = "gate.kappa4.com"
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || !errors.Is(err, io.ErrUnexpectedEOF) || bytes.Count(got, []byte("\n")) > 1001 {
		t.Errorf("%s, %d bytes, error %v; want a reply that is torn off", resp.Status, len(got), err)
	}
}

func TestNoMoreThanAFewFetchTheWholeTrailAtOnce(t *testing.T) {
	t.Parallel()
	house := newHouse(t, audited(longTrail()), func(o *Options) { o.Tokens = tokens{} })
	for range exportsAtOnce {
		house.h.exports <- struct{}{}
	}
	resp := house.browser().do("GET", "/api/audit-logs?limit=all&format=csv", nil, bearer("admin-token"))
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
}

// Whom policy takes for an administrator sees what others did.
func TestAuditLogsAskWhoIsAnAdministrator(t *testing.T) {
	t.Parallel()
	kept := &trail{events: []session.Event{{Time: noon, Action: session.ActionLogin, Outcome: session.OutcomeSuccess, User: session.Person{ID: "u2"}}}}
	b := newHouse(t, audited(kept), func(o *Options) {
		o.IsAdministrator = func(_ context.Context, s *session.Session) bool { return s.Identity.Email == "nora@kappa4.com" }
	}).browser()
	b.signIn(portal + "/")
	if resp := b.do("GET", "/api/audit-logs?user=u2", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("%s, want 200: %s", resp.Status, text(t, resp))
	}
}
