package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

const (
	sessionsPath  = "/admin/sessions"
	everybodyPath = sessionsPath + "/everybody"
	pageSize      = 25
	// maxSearch bounds what is searched for: an email has 254 characters.
	maxSearch = 254
)

// search is what a page was asked to find, cut to what can be there.
func search(r *http.Request, name string) string {
	s := strings.TrimSpace(r.URL.Query().Get(name))
	return strings.ToValidUTF8(s[:min(len(s), maxSearch)], "")
}

func (c *Console) sessions(w http.ResponseWriter, r *http.Request) {
	if s := c.o.Frame.Administrator(w, r); s != nil {
		c.showSessions(w, r, s, 0, nil)
	}
}

func (c *Console) showSessions(w http.ResponseWriter, r *http.Request, s *session.Session, status int, n *pages.Notice) {
	now := c.o.Clock()
	v := pages.SessionsView{Viewer: c.viewer(w, r, s), Search: search(r, "q"), First: true, Live: -1}
	if n != nil {
		v.Notice, v.Status = n, status
	}
	// One more than is shown tells whether there are older ones.
	q := session.Query{Now: now, Limit: pageSize + 1}
	switch {
	case strings.Contains(v.Search, "@"):
		q.Email = v.Search
	case v.Search != "":
		q.UserID = v.Search
	}
	if before, err := time.Parse(time.RFC3339Nano, r.URL.Query().Get("before")); err == nil {
		q.Before, v.First = before, false
	}
	found, err := c.o.Sessions.List(r.Context(), q)
	if err != nil {
		c.o.Frame.Trouble(w, r, "listing sessions", err)
		return
	}
	if len(found) > pageSize {
		found = found[:pageSize]
		v.Next = older(found, v.Search)
	}
	if live, err := c.o.CountLive(r.Context(), now); err == nil {
		v.Live = live
	}
	if v.Search != "" {
		v.Whose = whose(found)
	}
	v.Sessions = c.views(r.Context(), found, "", s.Key)
	c.o.Frame.Show(w, c.o.Pages.Sessions(v))
}

// whose is the user id that all of some sessions have, "" for none.
func whose(found []*session.Session) string {
	id := ""
	for _, s := range found {
		if id != "" && s.Identity.UserID != id {
			return ""
		}
		id = s.Identity.UserID
	}
	return id
}

// older leads to the sessions that began before these. It begins a millisecond
// after the last of them, since others may have begun in the same one; they are
// then shown twice rather than never.
func older(shown []*session.Session, search string) string {
	at := shown[len(shown)-1].CreatedAt
	if at.Before(shown[0].CreatedAt.Add(-time.Millisecond)) {
		at = at.Add(time.Millisecond)
	}
	q := url.Values{"before": {at.UTC().Format(time.RFC3339Nano)}}
	if search != "" {
		q.Set("q", search)
	}
	return sessionsPath + "?" + q.Encode()
}

// adminForm is a form of the console by an administrator.
func (c *Console) adminForm(w http.ResponseWriter, r *http.Request) (*session.Session, url.Values) {
	s := c.o.Frame.Administrator(w, r)
	if s == nil {
		return nil, nil
	}
	form, ok := c.o.Frame.Form(w, r, pageForms, s)
	if !ok {
		return nil, nil
	}
	return s, form
}

func (c *Console) endSession(w http.ResponseWriter, r *http.Request) {
	s, form := c.adminForm(w, r)
	if s == nil {
		return
	}
	if form.Get("session") == "all" {
		c.endUser(w, r, s, form.Get("user"), sessionsPath)
		return
	}
	n, err := c.endOne(r, s, form.Get("session"), "")
	switch {
	case errors.Is(err, session.ErrNotFound):
		c.showSessions(w, r, s, http.StatusNotFound, bad("That session is over already. Nothing has changed."))
	case err != nil:
		c.o.Frame.Trouble(w, r, "ending a session", err)
	case form.Get("user") != "":
		c.done(w, r, s, userPath(form.Get("user")), doneEnded, n)
	default:
		c.done(w, r, s, sessionsPath, doneEnded, n)
	}
}

// endUser ends all sessions of a user id, which may be one of a provider's
// people, who have no account here.
func (c *Console) endUser(w http.ResponseWriter, r *http.Request, s *session.Session, id, next string) {
	if id == "" {
		c.showSessions(w, r, s, http.StatusUnprocessableEntity, bad("The form names nobody. Nothing has changed."))
		return
	}
	n, err := c.o.Sessions.RevokeUser(as(r, s), id)
	if err != nil {
		c.o.Frame.Trouble(w, r, "ending a user's sessions", err)
		return
	}
	c.done(w, r, s, next, doneEnded, n)
}

func (c *Console) askEverybody(w http.ResponseWriter, r *http.Request) {
	s := c.o.Frame.Administrator(w, r)
	if s == nil {
		return
	}
	c.o.Frame.Show(w, c.o.Pages.Confirm(pages.ConfirmView{
		Viewer: c.viewer(w, r, s), Section: "sessions", Heading: "End everybody’s sessions?",
		Lead:   "Every session and every access token that was given until now opens nothing any more, yours here included. Everybody has to sign in again. Nothing else is lost.",
		Button: "End everybody’s", Instead: "Keep them", Action: everybodyPath, Back: sessionsPath,
	}))
}

// endEverybody ends all sessions, that of the administrator included: the page
// after it is the one to sign in at.
func (c *Console) endEverybody(w http.ResponseWriter, r *http.Request) {
	s, form := c.adminForm(w, r)
	if s == nil {
		return
	}
	if form.Get("sure") != "yes" {
		c.o.Frame.SeeOther(w, everybodyPath)
		return
	}
	n, err := c.o.Sessions.RevokeAll(as(r, s))
	if err != nil {
		c.o.Frame.Trouble(w, r, "ending everybody's sessions", err)
		return
	}
	c.o.Logger.Warn("everybody's sessions ended", "by", s.Identity.UserID, "sessions", n, "request_id", session.OriginOf(r.Context()).RequestID)
	c.o.Frame.SeeOther(w, "/oauth2/sign_in")
}
