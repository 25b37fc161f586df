package admin

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/neosc/gate/session"
)

// AuditQuery selects entries.
type AuditQuery = session.AuditQuery

// maxText is the longest text that is searched for, in bytes.
const maxText = 256

type auditList struct {
	Entries []session.AuditEntry `json:"entries"`
	// Paused is where a search goes on that took its time; 0 if it did not.
	Paused uint64 `json:"paused,omitempty"`
}

// audit lists the trail.
func (a *API) audit(r *http.Request) (any, error) {
	v, err := parameters(r, "user", "action", "text", "since", "until", "before", "limit")
	if err != nil {
		return nil, err
	}
	q := AuditQuery{User: v.Get("user"), Action: session.Action(v.Get("action")), Text: v.Get("text"), Limit: 100}
	if len(q.Text) > maxText {
		return nil, problem(http.StatusBadRequest, "text has %d bytes, at most %d", len(q.Text), maxText)
	}
	for name, to := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if !v.Has(name) {
			continue
		}
		if *to, err = time.Parse(time.RFC3339, v.Get(name)); err != nil {
			return nil, problem(http.StatusBadRequest, "%s %q is no instant such as 2026-03-05T10:15:30Z", name, v.Get(name))
		}
	}
	if v.Has("before") {
		if q.Before, err = strconv.ParseUint(v.Get("before"), 10, 63); err != nil {
			return nil, problem(http.StatusBadRequest, "before %q is not the number of an entry", v.Get("before"))
		}
	}
	if err := limited(v, &q.Limit); err != nil {
		return nil, err
	}
	found, err := a.o.AuditLog.Entries(r.Context(), q)
	if paused, ok := errors.AsType[*session.AuditPaused](err); ok {
		return auditList{Entries: nonNil(found), Paused: paused.Before}, nil
	}
	if err != nil {
		return nil, err
	}
	return auditList{Entries: nonNil(found)}, nil
}
