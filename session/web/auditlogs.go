package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// adminRole sees what everybody did; all others see what concerns themselves.
const adminRole = "admin"

// AuditLog is an entry as GET /api/audit-logs gives it: the fields that such
// entries always had, then the gate's own.
type AuditLog struct {
	ID        string    `json:"id"`
	UserID    string    `json:"user_id"`
	UserEmail string    `json:"user_email"`
	Action    string    `json:"action"`
	Resource  string    `json:"resource"`
	Details   string    `json:"details"`
	Timestamp time.Time `json:"timestamp"`
	Success   bool      `json:"success"`

	ActorID      string `json:"actor_id,omitempty"`
	ActorEmail   string `json:"actor_email,omitempty"`
	Organization string `json:"organization,omitempty"`
	SessionID    string `json:"session_id,omitempty"`
	ClientIP     string `json:"client_ip,omitempty"`
	UserAgent    string `json:"user_agent,omitempty"`
	RequestID    string `json:"request_id,omitempty"`
	Hash         string `json:"hash"`
}

func auditLog(e session.AuditEntry) AuditLog {
	names := make([]string, 0, len(e.Details))
	for n := range e.Details {
		names = append(names, n)
	}
	slices.Sort(names)
	var details []string
	for _, n := range names {
		details = append(details, n+"="+e.Details[n])
	}
	l := AuditLog{
		ID: strconv.FormatUint(e.Number, 10), UserID: e.User.ID, UserEmail: e.User.Email, Action: string(e.Action), Resource: resource(e.Action),
		Details: strings.Join(details, " "), Timestamp: e.Time, Success: e.Outcome == session.OutcomeSuccess,
		Organization: e.Organization, SessionID: e.Session, ClientIP: e.ClientIP, UserAgent: e.UserAgent, RequestID: e.RequestID, Hash: e.Hash,
	}
	if e.Actor != e.User {
		l.ActorID, l.ActorEmail = e.Actor.ID, e.Actor.Email
	}
	return l
}

// resource is the kind of thing that an action is done to.
func resource(a session.Action) string {
	switch a {
	case session.ActionLogin, session.ActionSSOLogin, session.ActionLogout:
		return "auth"
	case session.ActionSessionCreated, session.ActionSessionExpired, session.ActionSessionRevoked:
		return "session"
	case session.ActionTokenIssued, session.ActionTokenRevoked:
		return "token"
	case session.ActionPolicySwitched, session.ActionPolicyActivated, session.ActionPolicyRefused:
		return "policy"
	}
	switch {
	case strings.HasSuffix(string(a), "_workspace"), strings.HasSuffix(string(a), "_workspaces"):
		return "workspace"
	case strings.HasSuffix(string(a), "_session"):
		return "session"
	default:
		return "user"
	}
}

// auditPage is how many entries an export reads at once, and maxAuditText the
// longest text that is searched for.
const (
	auditPage    = 1000
	maxAuditText = 256
)

// auditLogs are the methods of /api/audit-logs, none without a trail.
func (h *Handler) auditLogs() map[string]http.HandlerFunc {
	if h.o.AuditLog == nil {
		return nil
	}
	return map[string]http.HandlerFunc{"GET": h.listAuditLogs}
}

// listAuditLogs answers with the newest entries first, and names the next page
// in a Link header (RFC 8288), so that the body stays the plain list: of JSON, or of
// what Accept or ?format= asks for.
func (h *Handler) listAuditLogs(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	s, err := h.caller(r)
	switch {
	case err != nil:
		h.apiTrouble(w, r, "looking up a session", err)
		return
	case s == nil:
		w.Header().Set("WWW-Authenticate", "Bearer")
		h.problem(w, r, problem{Status: http.StatusUnauthorized, Detail: "Sign in, or send an access token that is valid now.", Reason: "unauthenticated"})
		return
	}
	q, form, all, err := auditQuery(r.URL.RawQuery)
	var format auditFormat
	if err == nil {
		format, err = auditFormatOf(r, form)
	}
	if err == nil && all && format.stream == nil {
		err = errors.New("limit=all needs format=csv or format=ndjson")
	}
	if err != nil {
		h.problem(w, r, problem{Status: http.StatusBadRequest, Detail: err.Error(), Reason: "request_invalid"})
		return
	}
	if !h.o.IsAdministrator(r.Context(), s) {
		// Nobody's id would select everybody's entries.
		if s.Identity.UserID == "" || q.User != "" && q.User != s.Identity.UserID {
			h.problem(w, r, problem{Status: http.StatusForbidden, Detail: "Only administrators see what others did. Leave user out.", Reason: "role_required"})
			return
		}
		q.User = s.Identity.UserID
	}
	if all {
		h.exportAuditLogs(w, r, q, format)
		return
	}
	found, err := h.o.AuditLog.Entries(r.Context(), q)
	before, err := following(q, found, err)
	if err != nil {
		h.apiTrouble(w, r, "reading the audit trail", err)
		return
	}
	if before != 0 {
		next, _ := url.ParseQuery(r.URL.RawQuery) // it was read before
		next.Set("before", strconv.FormatUint(before, 10))
		w.Header().Set("Link", `</api/audit-logs?`+next.Encode()+`>; rel="next"`)
		if len(found) < q.Limit {
			w.Header().Set("Audit-Search", "paused")
		}
	}
	format.head(w)
	_ = format.write(w, auditLogsOf(found)) // who has gone away has nobody to be told
}

// following is where a listing goes on after a page, 0 if that was the last. A
// search that took its time has a page that is not full, and goes on all the same.
func following(q session.AuditQuery, found []session.AuditEntry, err error) (uint64, error) {
	paused, ok := errors.AsType[*session.AuditPaused](err)
	switch {
	case ok:
		return paused.Before, nil
	case err != nil || len(found) < q.Limit:
		return 0, err
	default:
		return found[len(found)-1].Number, nil
	}
}

func auditLogsOf(found []session.AuditEntry) []AuditLog {
	out := make([]AuditLog, 0, len(found))
	for _, e := range found {
		out = append(out, auditLog(e))
	}
	return out
}

// apiTrouble answers a program when something that the gate needs did not.
func (h *Handler) apiTrouble(w http.ResponseWriter, r *http.Request, doing string, err error) {
	h.o.Logger.Error(doing+" failed", "error", err, "path", r.URL.Path, "request_id", requestID(r))
	w.Header().Set("Retry-After", "1")
	h.problem(w, r, problem{Status: http.StatusServiceUnavailable, Detail: "Something that the gate needs does not answer. Try again in a moment.", Reason: "unavailable"})
}

// auditQuery reads user, action, q, since, until, before, limit and format; all is
// a limit of all.
func auditQuery(raw string) (q session.AuditQuery, format string, all bool, err error) {
	q.Limit = 100
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, format, all, errors.New("the query is not well-formed")
	}
	for name, v := range values {
		if len(v) != 1 {
			return q, format, all, fmt.Errorf("the parameter %q is there %d times", clipText(name), len(v))
		}
		switch name {
		case "user":
			q.User = v[0]
		case "action":
			q.Action = session.Action(v[0])
		case "q":
			if q.Text = v[0]; len(q.Text) > maxAuditText {
				return q, format, all, fmt.Errorf("the parameter q has at most %d bytes", maxAuditText)
			}
		case "since":
			q.Since, err = time.Parse(time.RFC3339, v[0])
		case "until":
			q.Until, err = time.Parse(time.RFC3339, v[0])
		case "before":
			q.Before, err = strconv.ParseUint(v[0], 10, 63)
		case "format":
			format = v[0]
		case "limit":
			if v[0] == "all" {
				q.Limit, all = auditPage, true
			} else if q.Limit, err = strconv.Atoi(v[0]); err == nil && (q.Limit < 1 || q.Limit > 1000) {
				err = errors.New("out of range")
			}
		default:
			return q, format, all, fmt.Errorf("there is no parameter %q; there are user, action, q (a text), since, until (RFC 3339), before (a number), limit (1 to 1000, or all) and format (json, ndjson or csv)", clipText(name))
		}
		if err != nil {
			return q, format, all, fmt.Errorf("the parameter %s cannot be %q: since and until are RFC 3339 instants, before is a number and limit one from 1 to 1000", name, clipText(v[0]))
		}
	}
	return q, format, all, nil
}

func clipText(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// caller is who asks the API, nil for nobody: a token, if one is there, counts
// alone. An error means that it cannot be told now.
func (h *Handler) caller(r *http.Request) (*session.Session, error) {
	var s *session.Session
	var err error
	switch lines := r.Header.Values("Authorization"); {
	case len(lines) == 0:
		s, err = h.who(r)
	case len(lines) == 1 && h.o.Tokens != nil:
		scheme, token, _ := strings.Cut(lines[0], " ")
		if strings.EqualFold(scheme, "Bearer") {
			s, err = h.o.Tokens.ByBearer(r.Context(), strings.TrimSpace(token), h.o.Clock())
		}
	}
	if errors.Is(err, session.ErrInvalid) {
		return nil, nil
	}
	return s, err
}
