package api

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// SessionInfo is a session as the API shows it. Its id opens nothing.
type SessionInfo struct {
	ID        string       `json:"id"`
	UserID    string       `json:"user_id"`
	UserEmail string       `json:"user_email"`
	Kind      session.Kind `json:"kind"`
	Provider  string       `json:"provider"`
	AMR       []string     `json:"amr"`
	CreatedAt time.Time    `json:"created_at"`
	ExpiresAt time.Time    `json:"expires_at"`
	// IdleExpiresAt moves on while the session is used.
	IdleExpiresAt time.Time `json:"idle_expires_at"`
	// Current is that of the session that asks.
	Current bool `json:"current"`
}

func (c *call) info(s *session.Session) SessionInfo {
	out := SessionInfo{
		ID: s.Key.String(), UserID: s.Identity.UserID, UserEmail: s.Identity.Email, Kind: s.Kind, Provider: s.Identity.Provider, AMR: s.Identity.AMR,
		CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt, IdleExpiresAt: s.IdleExpiresAt, Current: s.Key == c.s.Key,
	}
	if out.AMR == nil {
		out.AMR = []string{}
	}
	return out
}

// listSessions shows one's own, and administrators those of a user, or of all.
func (a *API) listSessions(c *call) (reply, error) {
	q, limit, err := page(c, "user", "all", "after")
	if err != nil {
		return reply{}, err
	}
	query := session.Query{UserID: c.s.Identity.UserID, Now: a.o.Clock(), Limit: limit}
	switch {
	case q.Has("all") && (q.Get("all") != "true" || q.Has("user")):
		return reply{}, problem(http.StatusBadRequest, "request_invalid", "The parameter all is true, and goes without user.")
	case q.Has("all"):
		query.UserID = ""
	case q.Has("user"):
		query.UserID = q.Get("user")
	}
	if (query.UserID != c.s.Identity.UserID) && !c.isAdmin() {
		return reply{}, problem(http.StatusForbidden, "role_required", "Only administrators see the sessions of others.")
	}
	if q.Has("user") && query.UserID == "" {
		return reply{}, problem(http.StatusBadRequest, "request_invalid", "The parameter user is empty.")
	}
	found, next, err := a.pageSessions(c, query, q.Get("after"))
	if err != nil {
		return reply{}, err
	}
	out := make([]SessionInfo, 0, len(found))
	for _, s := range found {
		out = append(out, c.info(s))
	}
	return reply{body: out, next: nextPage(c, q, next)}, nil
}

// cursor is where a listing of sessions goes on: after the instant at which the
// last one was created, of which those were shown that it names.
type cursor struct {
	at    time.Time
	shown []string
}

func (x cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(x.at.UnixMilli(), 10) + "." + strings.Join(x.shown, ".")))
}

func parseCursor(s string) (x cursor, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return x, err
	}
	at, shown, ok := strings.Cut(string(b), ".")
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil || !ok || ms < 0 || ms > 1<<50 {
		return x, errors.New("not a cursor")
	}
	return cursor{at: time.UnixMilli(ms).UTC(), shown: strings.Split(shown, ".")}, nil
}

// maxShown bounds the sessions of one millisecond that a cursor names.
const maxShown = 16

// pageSessions lists a page and returns the cursor of the next, "" on the last.
func (a *API) pageSessions(c *call, q session.Query, after string) ([]*session.Session, string, error) {
	limit := q.Limit
	var from cursor
	if after != "" {
		var err error
		if from, err = parseCursor(after); err != nil {
			return nil, "", problem(http.StatusBadRequest, "request_invalid", "The parameter after is none that was in a Link header.")
		}
		// A millisecond on: others may have begun at the same one.
		q.Before, q.Limit = from.at.Add(time.Millisecond), min(limit+maxShown, maxList)
	}
	found, err := a.o.Sessions.List(c.Context(), q)
	if err != nil {
		return nil, "", err
	}
	full := len(found) == q.Limit
	found = slices.DeleteFunc(found, func(s *session.Session) bool {
		return s.CreatedAt.Equal(from.at) && slices.Contains(from.shown, s.Key.Short())
	})
	if len(found) > limit {
		found, full = found[:limit], true
	}
	if !full || len(found) == 0 {
		return found, "", nil
	}
	next := cursor{at: found[len(found)-1].CreatedAt.UTC().Truncate(time.Millisecond)}
	if next.at.Equal(from.at) {
		next.shown = from.shown
	}
	for _, s := range found {
		if s.CreatedAt.Equal(next.at) {
			next.shown = append(next.shown, s.Key.Short())
		}
	}
	next.shown = next.shown[max(0, len(next.shown)-maxShown):]
	return found, next.String(), nil
}

// endSession ends one session. To others than administrators, one that is not
// theirs is not there.
func (a *API) endSession(c *call) (reply, error) {
	if _, err := parameters(c.Request); err != nil {
		return reply{}, err
	}
	k, err := session.ParseKey(c.PathValue("session"))
	if err != nil {
		return reply{}, noSuch("session")
	}
	s, err := a.o.Sessions.Find(c.Context(), k)
	if errors.Is(err, session.ErrNotFound) || err == nil && s.Identity.UserID != c.s.Identity.UserID && !c.isAdmin() {
		return reply{}, noSuch("session")
	}
	if err == nil {
		err = a.o.Sessions.Revoke(c.Context(), k)
	}
	return reply{status: http.StatusNoContent}, err
}

// Ended says how many sessions were ended.
type Ended struct {
	Sessions int `json:"sessions_ended"`
}

// endSessions ends all of one's own sessions but the one that asks, or all that
// a user has.
func (a *API) endSessions(c *call) (reply, error) {
	q, err := parameters(c.Request, "others", "user")
	if err != nil {
		return reply{}, err
	}
	switch user := q.Get("user"); {
	case q.Get("others") == "true" && !q.Has("user"):
		n, err := a.endOthers(c)
		return reply{body: Ended{n}}, err
	case q.Has("others") || user == "" || len(user) > maxParameter:
		return reply{}, problem(http.StatusBadRequest, "request_invalid", "Say which: others=true ends your other sessions, user=ID those of a user.")
	case user != c.s.Identity.UserID && !c.isAdmin():
		return reply{}, problem(http.StatusForbidden, "role_required", "Only administrators end the sessions of others.")
	default:
		n, err := a.o.Sessions.RevokeUser(c.Context(), user)
		return reply{body: Ended{n}}, err
	}
}

func (a *API) endOthers(c *call) (ended int, err error) {
	q := session.Query{UserID: c.s.Identity.UserID, Now: a.o.Clock(), Limit: maxList}
	for {
		found, err := a.o.Sessions.List(c.Context(), q)
		if err != nil {
			return ended, err
		}
		before := ended
		for _, s := range found {
			if s.Key == c.s.Key {
				continue
			}
			if err := a.o.Sessions.Revoke(c.Context(), s.Key); err != nil {
				return ended, err
			}
			ended++
		}
		if len(found) < q.Limit || ended == before {
			return ended, nil
		}
	}
}
