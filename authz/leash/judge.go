package leash

import (
	"context"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// judgeAll judges the streams of a group again whose session, or policy,
// changed since. who is nil for nobody and for sessions that no store has.
func (s *Server) judgeAll(g *group, who *session.Session, heard time.Time) {
	now := time.Now()
	cut := map[string]int{}
	for _, h := range s.table.of(g) {
		if cause := s.refreshed(h, who, now); cause != "" {
			cut[cause] += s.cut([]*stream{h}, cause, heard)
		}
	}
	for cause, n := range cut {
		s.o.Logger.Info("streams ended: they are not allowed any more", "session", g.key.Short(), "streams", n, "cause", cause)
	}
}

// refreshed judges one stream again if there is something new to judge it by,
// and returns why it must end, or "".
func (s *Server) refreshed(h *stream, who *session.Session, now time.Time) string {
	t := s.table
	t.mu.Lock()
	g, revision, lists := h.group, s.o.Revision(), s.o.Lists()
	same := h.judged == revision && (who == nil || h.version == who.Version)
	if same {
		h.judged = revision // one string for all
	}
	certain := !h.certified || h.lists == lists
	denied := g.unstored && g.user == ""
	t.mu.Unlock()
	switch {
	case denied:
		return causeRevoked
	case certain && (same || g.unstored):
		// An access token's claims are not kept here, so policy cannot be asked
		// again: it ends with its token.
		return ""
	}
	o, cause := s.judge(h, who, now)
	if cause != "" {
		return cause
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.at < 0 {
		return ""
	}
	h.lists = lists
	if g.unstored {
		return ""
	}
	h.judged = revision
	if who != nil {
		h.version = who.Version
	}
	if o.StreamFor > 0 {
		t.set(&h.end, now.Add(o.StreamFor))
	} else {
		t.clear(&h.end)
	}
	return ""
}

// judge asks about a stream, or about its client certificate alone, and returns
// why it must end, or "".
func (s *Server) judge(h *stream, who *session.Session, now time.Time) (*authz.Outcome, string) {
	k, err := decode(h.ticket, s.o.Routes)
	if err != nil {
		return nil, causeError
	}
	r := &k.request
	r.Time, r.Session = now, who
	var o *authz.Outcome
	if h.group.unstored {
		o = s.o.Judge.Recertify(r)
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		o = s.o.Judge.Rejudge(ctx, r)
	}
	switch o.Verdict {
	case authz.Allowed:
		return o, ""
	case authz.Failed:
		s.o.Logger.Error("a stream cannot be judged again", "route", r.RouteName, "error", o.Err)
		return nil, causeError
	default:
		return nil, causeDenied
	}
}

// cut lets go of streams and returns of how many.
func (s *Server) cut(list []*stream, cause string, heard time.Time) int {
	n := 0
	for _, h := range list {
		if s.table.remove(h) {
			s.let(h, cause, heard)
			n++
		}
	}
	return n
}

// let tells Envoy to cut a stream that is out of the table. If the message does
// not arrive, Envoy's side of the connection is gone, which cuts it as well.
func (s *Server) let(h *stream, cause string, since time.Time) {
	s.metrics.cut.WithLabelValues(cause).Inc() // before it shows
	_ = h.send(refusal(statusOf(cause), cause), true)
	s.metrics.lag.Observe(max(0, time.Since(since).Seconds()))
}
