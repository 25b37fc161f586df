package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

const (
	themePath = "/account/theme"
	// themeForm is what form tokens of the menu are for.
	themeForm = "colours"
	// themeAge is for how long a browser keeps the choice, in seconds: a year.
	themeAge = "31536000"
)

// themed is an answer whose pages have the colours that the browser chose. All
// pages have: those of refusals, and of people who are not signed in, too.
type themed struct {
	http.ResponseWriter
	theme string
}

// Unwrap is for http.ResponseController.
func (t *themed) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// themeCookie is the cookie's name, with the prefix that keeps sibling hosts
// from setting it.
func (h *Handler) themeCookie() string {
	return strings.TrimSuffix(h.csrf.cookie, "_csrf") + "_theme"
}

// theme is what a browser chose: pages.Light, pages.Dark, or "" for the
// system's. Whatever else a cookie says is nothing.
func (h *Handler) theme(r *http.Request) string {
	for _, c := range r.CookiesNamed(h.themeCookie()) {
		if c.Value == pages.Light || c.Value == pages.Dark {
			return c.Value
		}
	}
	return ""
}

// Theme is what the menu of a page needs.
func (h *Handler) Theme(w http.ResponseWriter, r *http.Request, s *session.Session) pages.Theme {
	return pages.Theme{Chosen: h.theme(r), CSRF: h.Token(w, r, themeForm, s)}
}

// chooseTheme takes the menu's form, and goes back to the page that it was on.
func (h *Handler) chooseTheme(w http.ResponseWriter, r *http.Request) {
	s := h.Person(w, r)
	if s == nil {
		return
	}
	form, ok := h.Form(w, r, themeForm, s)
	if !ok {
		return
	}
	value, age := form.Get("theme"), themeAge
	switch value {
	case pages.Light, pages.Dark:
	case "":
		age = "0"
	default:
		h.refuse(w, r, http.StatusForbidden, "form_refused", s)
		return
	}
	line := h.themeCookie() + "=" + value + "; Path=/; Max-Age=" + age + "; HttpOnly; SameSite=Lax"
	if h.csrf.secure {
		line += "; Secure"
	}
	w.Header().Add("Set-Cookie", line)
	h.SeeOther(w, h.cameFrom(r))
}

// cameFrom is the page of the gate on which a form was, "/" if that is not said.
func (h *Handler) cameFrom(r *http.Request) string {
	u, err := url.Parse(r.Referer())
	if err != nil || u.Scheme+"://"+u.Host != h.o.GateOrigin || u.User != nil {
		return "/"
	}
	return u.RequestURI()
}
