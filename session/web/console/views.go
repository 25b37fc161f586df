package console

import (
	"context"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

// maxEvents bounds how many entries of the trail are read for the addresses of
// one page's sessions.
const maxEvents = 1000

// views are sessions with what the trail knows of their beginning. user is
// whose they all are, "" for several people.
func (c *Console) views(ctx context.Context, found []*session.Session, user string, this session.Key) []pages.SessionView {
	begun := c.beginnings(ctx, found, user)
	out := make([]pages.SessionView, 0, len(found))
	for _, s := range found {
		id := &s.Identity
		o := begun[s.Key.String()]
		out = append(out, pages.SessionView{
			Key: s.Key, Kind: s.Kind, This: s.Key == this, UserID: id.UserID, Person: id.Name, Email: id.Email, Roles: id.Roles, Provider: id.Provider, Methods: id.AMR,
			ClientIP: o.ClientIP, UserAgent: o.UserAgent, Created: s.CreatedAt, Expires: s.ExpiresAt, Used: c.used(s),
		})
	}
	return out
}

// used is about when a session was last used, zero if that is not known: its end
// by disuse moves on with use, and stands still at its absolute end.
func (c *Console) used(s *session.Session) time.Time {
	if c.o.Idle <= 0 || s.Kind != session.Browser || !s.IdleExpiresAt.Before(s.ExpiresAt) {
		return time.Time{}
	}
	t := s.IdleExpiresAt.Add(-c.o.Idle)
	if t.Before(s.CreatedAt) {
		return s.CreatedAt
	}
	return t
}

// beginnings are where sessions began, by key. That they cannot be read is no
// reason not to show the sessions.
func (c *Console) beginnings(ctx context.Context, found []*session.Session, user string) map[string]session.Origin {
	out := map[string]session.Origin{}
	if len(found) == 0 {
		return out
	}
	first, last := found[0].CreatedAt, found[0].CreatedAt
	actions := map[session.Action]bool{}
	for _, s := range found {
		if s.CreatedAt.Before(first) {
			first = s.CreatedAt
		}
		if s.CreatedAt.After(last) {
			last = s.CreatedAt
		}
		a := session.ActionTokenIssued
		if s.Kind == session.Browser {
			a = session.ActionSessionCreated
		}
		actions[a] = true
	}
	for a := range actions {
		entries, err := c.o.AuditLog.Entries(ctx, session.AuditQuery{
			User: user, Action: a, Since: first.Add(-time.Minute), Until: last.Add(time.Minute), Limit: maxEvents,
		})
		if err != nil {
			c.o.Logger.Warn("where sessions began cannot be read", "error", err, "request_id", session.OriginOf(ctx).RequestID)
			return out
		}
		for _, e := range entries {
			out[e.Session] = e.Origin
		}
	}
	return out
}
