package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web"
	"github.com/neosc/gate/session/web/pages"
)

const (
	accountPath = "/account"
	// maxOwn is how many of somebody's sessions their page shows.
	maxOwn = 50
	// maxName is the most characters of a name.
	maxName = 100
)

func (c *Console) account(w http.ResponseWriter, r *http.Request) {
	if s := c.o.Frame.Person(w, r); s != nil {
		c.showAccount(w, r, s, pages.AccountView{})
	}
}

// showAccount fills in what v lacks, and shows the page.
func (c *Console) showAccount(w http.ResponseWriter, r *http.Request, s *session.Session, v pages.AccountView) {
	found, err := c.o.Sessions.List(r.Context(), session.Query{UserID: s.Identity.UserID, Now: c.o.Clock(), Limit: maxOwn})
	if err != nil {
		c.o.Frame.Trouble(w, r, "listing sessions", err)
		return
	}
	wrong, status := v.Notice, v.Status
	v.Viewer = c.viewer(w, r, s)
	if wrong != nil {
		v.Notice, v.Status = wrong, status
	}
	v.Organization, v.Provider, v.Local = s.Identity.Organization, s.Identity.Provider, s.Identity.Provider == local
	v.Lifetime, v.MinPassword, v.MaxName, v.More = c.o.Lifetime, c.o.MinPassword, maxName, len(found) == maxOwn
	v.Sessions = c.views(r.Context(), found, s.Identity.UserID, s.Key)
	if v.Local {
		u, err := c.o.Members.UserByID(r.Context(), s.Identity.UserID)
		switch {
		case err == nil:
			v.Name, v.MemberSince = u.Name, u.CreatedAt
		case !errors.Is(err, session.ErrNoUser):
			c.o.Frame.Trouble(w, r, "looking up an account", err)
			return
		}
	}
	c.o.Frame.Show(w, c.o.Pages.Account(v))
}

// ownForm is a form of the page by somebody whose account is the gate's own.
func (c *Console) ownForm(w http.ResponseWriter, r *http.Request) (*session.Session, url.Values) {
	s := c.o.Frame.Person(w, r)
	if s == nil {
		return nil, nil
	}
	form, ok := c.o.Frame.Form(w, r, pageForms, s)
	switch {
	case !ok:
		return nil, nil
	case s.Identity.Provider != local:
		c.o.Frame.Refuse(w, r, http.StatusForbidden, "form_refused", s)
		return nil, nil
	}
	return s, form
}

func (c *Console) saveProfile(w http.ResponseWriter, r *http.Request) {
	s, form := c.ownForm(w, r)
	if s == nil {
		return
	}
	name := strings.TrimSpace(form.Get("name"))
	if name == "" {
		c.wrongAccount(w, r, s, http.StatusUnprocessableEntity, "name", "Nothing has changed: a name is needed, and this one is empty.", "")
		return
	}
	changed, err := c.o.Members.ChangeUser(as(r, s), s.Identity.UserID, session.UserChange{Name: &name})
	switch {
	case err == nil:
		c.done(w, r, s, accountPath, doneProfile, changed.SessionsChanged)
	case errors.Is(err, session.ErrBadUser):
		c.wrongAccount(w, r, s, http.StatusUnprocessableEntity, "name", "Nothing has changed. "+sentence(err), name)
	case errors.Is(err, session.ErrNoUser):
		c.o.Frame.Refuse(w, r, http.StatusForbidden, "form_refused", s)
	default:
		c.o.Frame.Trouble(w, r, "changing a name", err)
	}
}

func (c *Console) wrongAccount(w http.ResponseWriter, r *http.Request, s *session.Session, status int, field, text, name string) {
	v := pages.AccountView{Wrong: field, TypedName: name}
	v.Status, v.Notice = status, bad(text)
	c.showAccount(w, r, s, v)
}

func (c *Console) changePassword(w http.ResponseWriter, r *http.Request) {
	s, form := c.ownForm(w, r)
	if s == nil {
		return
	}
	err := c.o.Registrar.ChangePassword(as(r, s), s.Identity.UserID, form.Get("current"), form.Get("password"), web.ClientAddr(r), s.Key)
	if err == nil {
		c.done(w, r, s, accountPath, donePassword, 0)
		return
	}
	status, text, ok := c.explain(w, err)
	field := "password"
	if errors.Is(err, session.ErrCredentials) {
		field, text = "current", "The present password is wrong."
	}
	if !ok {
		c.o.Frame.Trouble(w, r, "changing a password", err)
		return
	}
	c.wrongAccount(w, r, s, status, field, "Nothing has changed. "+text, "")
}

// endOwn ends one of somebody's own sessions, or all but the one that asks.
func (c *Console) endOwn(w http.ResponseWriter, r *http.Request) {
	s := c.o.Frame.Person(w, r)
	if s == nil {
		return
	}
	form, ok := c.o.Frame.Form(w, r, pageForms, s)
	if !ok {
		return
	}
	ended, err := 0, error(nil)
	if which := form.Get("session"); which == "others" {
		ended, err = c.endOthers(r, s)
	} else {
		ended, err = c.endOne(r, s, which, s.Identity.UserID)
	}
	switch {
	case errors.Is(err, session.ErrNotFound):
		c.wrongAccount(w, r, s, http.StatusNotFound, "", "That session is over already, or is not yours. Nothing has changed.", "")
	case err != nil:
		c.o.Frame.Trouble(w, r, "ending a session", err)
	default:
		c.done(w, r, s, accountPath, doneEnded, ended)
	}
}

// endOne ends the session of a key, if it is that user's ("" for anybody's).
func (c *Console) endOne(r *http.Request, by *session.Session, key, userID string) (int, error) {
	k, err := session.ParseKey(key)
	if err != nil {
		return 0, session.ErrNotFound
	}
	found, err := c.o.Sessions.Find(r.Context(), k)
	if err != nil {
		return 0, err
	}
	if userID != "" && found.Identity.UserID != userID {
		return 0, session.ErrNotFound
	}
	return 1, c.o.Sessions.Revoke(as(r, by), k)
}

// maxRounds bounds endOthers: with 1,000 sessions a round it is never reached
// but by somebody who begins them as fast as they end.
const maxRounds = 100

func (c *Console) endOthers(r *http.Request, s *session.Session) (n int, err error) {
	for range maxRounds {
		found, err := c.o.Sessions.List(r.Context(), session.Query{UserID: s.Identity.UserID, Now: c.o.Clock(), Limit: 1000})
		if err != nil {
			return n, err
		}
		before := n
		for _, other := range found {
			if other.Key == s.Key {
				continue
			}
			if err := c.o.Sessions.Revoke(as(r, s), other.Key); err != nil {
				return n, err
			}
			n++
		}
		if n == before || len(found) < 1000 {
			return n, nil
		}
	}
	return n, nil
}
