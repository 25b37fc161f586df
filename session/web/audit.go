package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/neosc/gate/session"
)

// auditTime bounds taking back a sign-in that could not be kept, and waiting
// for the event of something that has happened anyway.
const auditTime = 5 * time.Second

// origin is where a request came from, as the trail tells it. Its bounds are
// the trail's to keep.
func origin(r *http.Request) session.Origin {
	return session.Origin{ClientIP: ClientAddr(r), UserAgent: r.UserAgent(), RequestID: requestID(r)}
}

// auditSignIn keeps a sign-in by password before its cookie is handed out, and
// ends the session again if that fails: nobody is to be in whom the trail does
// not know. Those at providers are kept with the beginning of their session.
func (h *Handler) auditSignIn(ctx context.Context, s *session.Session) error {
	if h.o.Audit == nil {
		return nil
	}
	err := h.o.Audit.Append(ctx, session.SignInEvent(ctx, session.ActionLogin, s))
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTime)
	defer cancel()
	return errors.Join(err, h.o.Sessions.Revoke(ctx, s.Key))
}

// maxRefused is how many refused sign-ins a gate keeps in a minute. Anybody can
// have them, from many addresses and without an account, and an entry is never
// taken out again: at a kilobyte each this is some 900 MB a day.
const maxRefused = 600

// refusals counts the refused sign-ins of a minute.
type refusals struct {
	mu         sync.Mutex
	minute     int64
	kept, over int
}

// take reports whether one more is to be kept, and how many were not since the
// last one that was.
func (c *refusals) take(now time.Time) (ok bool, lost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := now.Unix() / 60; m != c.minute {
		c.minute, c.kept = m, 0
	}
	if c.kept >= maxRefused {
		c.over++
		return false, 0
	}
	c.kept++
	lost, c.over = c.over, 0
	return true, lost
}

// auditRefused keeps a sign-in that was refused. Who it was is not known: what
// was typed as an email may be a password in the wrong field.
func (h *Handler) auditRefused(ctx context.Context, a session.Action, provider, reason string) {
	if h.o.Audit == nil || reason == string(outcomeGuesses) || reason == string(outcomeBusy) {
		return // of these nothing was looked at
	}
	ok, lost := h.refused.take(h.o.Clock())
	if !ok {
		return // it is in the log and the metrics
	}
	e := session.NewEvent(ctx, a, nil)
	e.Outcome, e.Details = session.OutcomeDenied, map[string]string{"provider": provider, "reason": reason}
	if lost > 0 {
		e.Details["not_kept_before"] = strconv.Itoa(lost)
	}
	h.auditEnd(ctx, e)
}

// auditEnd keeps the event of what has happened already and is not held up by
// it; what cannot be kept is in the log.
func (h *Handler) auditEnd(ctx context.Context, e session.Event) {
	if h.o.Audit == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTime)
	defer cancel()
	if err := h.o.Audit.Append(ctx, e); err != nil {
		h.o.Logger.Error("an event is not in the audit trail", "action", e.Action, "user", e.User.ID, "session", e.Session, "client_ip", e.ClientIP, "request_id", e.RequestID, "error", err)
	}
}
