package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

// Routes are pages by path, as http.ServeMux has it, and by method.
type Routes map[string]map[string]http.HandlerFunc

// Add has the handler serve further pages, under the same bounds as its own. It
// is to be called before the first request, and with paths of which it has none.
func (h *Handler) Add(routes Routes) {
	for path, methods := range routes {
		h.mux.Handle(path, h.methods(methods))
	}
}

// Person returns whose session a request has; nil if it has answered already:
// strangers are sent to sign in, and come back to the page if it is one to which
// signing in may lead, else to the landing page.
func (h *Handler) Person(w http.ResponseWriter, r *http.Request) *session.Session {
	s, err := h.who(r)
	switch {
	case err != nil:
		h.trouble(w, r, "looking up a session", err)
	case s == nil:
		back, _ := h.target([]string{h.o.GateOrigin + r.URL.RequestURI()})
		if back == h.o.GateOrigin+"/" {
			back = ""
		}
		redirect(w, http.StatusSeeOther, h.o.GateOrigin+signInAt(back))
	default:
		return s
	}
	return nil
}

// Visitor returns whose session a request has, nil for nobody; ok is false if
// it has answered already.
func (h *Handler) Visitor(w http.ResponseWriter, r *http.Request) (s *session.Session, ok bool) {
	s, err := h.who(r)
	if err != nil {
		h.trouble(w, r, "looking up a session", err)
		return nil, false
	}
	return s, true
}

// Administrator is Person for pages of administrators: everybody else has been
// refused. It looks again although policy has, for a policy can be wrong.
func (h *Handler) Administrator(w http.ResponseWriter, r *http.Request) *session.Session {
	return h.administrator(w, r)
}

// IsAdministrator reports whether somebody may do what concerns others.
func (h *Handler) IsAdministrator(ctx context.Context, s *session.Session) bool {
	return h.o.IsAdministrator(ctx, s)
}

// Token returns the token of a form for somebody, nil for whoever looks; the
// cookie that belongs to it is set.
func (h *Handler) Token(w http.ResponseWriter, r *http.Request, purpose string, s *session.Session) string {
	return h.csrf.issue(w, r, purpose, keyOf(s))
}

// HasToken reports whether a token is one of Token's, for the same person,
// purpose and browser.
func (h *Handler) HasToken(r *http.Request, token, purpose string, s *session.Session) bool {
	return h.csrf.valid(r, token, purpose, keyOf(s))
}

func keyOf(s *session.Session) string {
	if s == nil {
		return ""
	}
	return s.Key.String()
}

// Form reads a form that a page of the gate sent: by its origin, its type, its
// size and the token in its field csrf. ok is false if it was refused, and
// answered so.
func (h *Handler) Form(w http.ResponseWriter, r *http.Request, purpose string, s *session.Session) (form url.Values, ok bool) {
	form, status, err := readForm(w, r)
	switch {
	case err != nil:
	case !h.ownOrigin(r):
		status, err = http.StatusForbidden, errors.New("the origin is not the gate's own")
	case !h.HasToken(r, form.Get("csrf"), purpose, s):
		status, err = http.StatusForbidden, errors.New("the token is too old, or of another page")
	default:
		return form, true
	}
	h.o.Logger.Warn("form refused", "error", err, "path", r.URL.Path, "client_ip", ClientAddr(r), "request_id", requestID(r))
	h.refuse(w, r, status, "form_refused", s)
	return nil, false
}

// Show sends a page.
func (h *Handler) Show(w http.ResponseWriter, p pages.Page) { h.show(w, p) }

// Refuse sends the page of a refusal, whose reason is one of those that pages
// have words for.
func (h *Handler) Refuse(w http.ResponseWriter, r *http.Request, status int, reason string, s *session.Session) {
	h.refuse(w, r, status, reason, s)
}

// Trouble answers when something that the gate needs did not: it logs what was
// being done, and tells nobody else.
func (h *Handler) Trouble(w http.ResponseWriter, r *http.Request, doing string, err error) {
	h.trouble(w, r, doing, err)
}

// SeeOther sends somebody to a page of the gate after a form. A path that could
// lead elsewhere leads to the landing page.
func (h *Handler) SeeOther(w http.ResponseWriter, path string) {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		path = "/"
	}
	redirect(w, http.StatusSeeOther, h.o.GateOrigin+path)
}
