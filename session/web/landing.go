package web

import (
	"net/http"
	"strings"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

// landing shows somebody their applications.
func (h *Handler) landing(w http.ResponseWriter, r *http.Request) {
	s, err := h.who(r)
	if err != nil {
		h.trouble(w, r, "looking up a session", err)
		return
	}
	if s == nil {
		redirect(w, http.StatusFound, h.o.GateOrigin+"/oauth2/sign_in")
		return
	}
	h.show(w, h.o.Pages.Landing(pages.LandingView{
		Email: s.Identity.Email, Name: s.Identity.Name, Organization: s.Identity.Organization, Roles: s.Identity.Roles,
		Apps: h.o.Apps(r.Context(), s), ExpiresAt: s.ExpiresAt, Now: h.o.Clock(), CSRF: h.csrf.issue(w, r, "sign out", s.Key.String()),
		Demo: demoOf(s), Admin: h.o.IsAdministrator(r.Context(), s), Theme: h.Theme(w, r, s),
	}))
}

// demoOf is the id of the demo session that somebody has now, "" for none.
func demoOf(s *session.Session) string {
	id, _ := s.Identity.Claims[session.ClaimDemoSession].(string)
	return id
}

// asset serves what pages link: forever under its version, else to be asked
// about each time. Refusals on application hosts load it from there, hence the
// cross-origin resource policy.
func (h *Handler) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := h.assets[r.PathValue("name")]
	if !ok {
		h.refuse(w, r, http.StatusNotFound, "unknown_route", nil)
		return
	}
	h.serveAsset(w, r, a)
}

func (h *Handler) favicon(w http.ResponseWriter, r *http.Request) {
	h.serveAsset(w, r, h.assets["favicon.svg"])
}

func (h *Handler) serveAsset(w http.ResponseWriter, r *http.Request, a pages.Asset) {
	etag := `"` + a.Version + `"`
	head := w.Header()
	head.Set("Content-Type", a.ContentType)
	head.Set("ETag", etag)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cross-Origin-Resource-Policy", "cross-origin")
	// An SVG opened by itself is a document: it gets no rights either.
	head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if r.URL.RawQuery == "v="+a.Version {
		head.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		head.Set("Cache-Control", "public, no-cache")
	}
	for _, known := range strings.Split(r.Header.Get("If-None-Match"), ",") {
		if known = strings.TrimSpace(known); known == etag || known == "W/"+etag || known == "*" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	_, _ = w.Write(a.Body) // the client may be gone: nobody to tell
}
