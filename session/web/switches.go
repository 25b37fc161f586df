package web

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

const (
	switchesPath = "/admin/switches"
	// switchForm is what form tokens of the page are for.
	switchForm = "policy switches"
	// maxSwitchForm bounds a form: a name, a number and a token.
	maxSwitchForm = 4 << 10
)

// switchPage are the methods of /admin/switches, none without switches.
func (h *Handler) switchPage() map[string]http.HandlerFunc {
	if h.o.Switches == nil {
		return nil
	}
	return map[string]http.HandlerFunc{"GET": h.showSwitches, "POST": h.turnSwitch}
}

// administrator returns who asks, if that is an administrator; else it has
// answered. Policy opens the gate's host to everybody who is signed in.
func (h *Handler) administrator(w http.ResponseWriter, r *http.Request) *session.Session {
	s, err := h.who(r)
	switch {
	case err != nil:
		h.trouble(w, r, "looking up a session", err)
	case s == nil:
		redirect(w, http.StatusSeeOther, h.o.GateOrigin+signInAt(h.o.GateOrigin+r.URL.Path))
	case !h.o.IsAdministrator(r.Context(), s):
		h.refuse(w, r, http.StatusForbidden, "role_required", s)
	default:
		return s
	}
	return nil
}

func (h *Handler) showSwitches(w http.ResponseWriter, r *http.Request) {
	s := h.administrator(w, r)
	if s == nil {
		return
	}
	var n *pages.Notice
	if name := r.URL.Query().Get("changed"); name != "" {
		if text := h.nowStands(r, name); text != "" {
			n = &pages.Notice{Tone: "good", Text: text}
		}
	}
	h.switches(w, r, s, 0, n)
}

// nowStands says where a switch stands, "" if there is none of that name: the
// query is anybody's to write.
func (h *Handler) nowStands(r *http.Request, name string) string {
	all, err := h.o.Switches.Switches(r.Context())
	if err != nil {
		return ""
	}
	for _, x := range all.Switches {
		if x.Name == name {
			return x.Title + " stands at " + x.Value.String() + " now."
		}
	}
	return ""
}

func (h *Handler) switches(w http.ResponseWriter, r *http.Request, s *session.Session, status int, n *pages.Notice) {
	all, err := h.o.Switches.Switches(r.Context())
	if err != nil {
		h.trouble(w, r, "reading the policy's switches", err)
		return
	}
	h.show(w, h.o.Pages.Switches(pages.SwitchesView{
		Status: status, Email: s.Identity.Email, Name: s.Identity.Name, Roles: s.Identity.Roles, List: all, Notice: n,
		CSRF: h.csrf.issue(w, r, switchForm, s.Key.String()), Theme: h.Theme(w, r, s),
	}))
}

// turnSwitch sets a switch as the form says. Both the origin and the token must
// be the page's.
func (h *Handler) turnSwitch(w http.ResponseWriter, r *http.Request) {
	s := h.administrator(w, r)
	if s == nil {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxSwitchForm)
	if err := r.ParseForm(); err != nil || !h.ownOrigin(r) || !h.csrf.valid(r, r.PostForm.Get("csrf"), switchForm, s.Key.String()) {
		h.switches(w, r, s, http.StatusForbidden, &pages.Notice{Tone: "bad", Text: "The form was too old, or was not from this page. Nothing has changed; set it again."})
		return
	}
	name := r.PostForm.Get("name")
	var v *session.SwitchValue
	version, err := strconv.ParseUint(r.PostForm.Get("version"), 10, 63)
	if err != nil {
		err = errors.New("the form does not say which version it was made of")
	} else if r.PostForm.Get("reset") == "" {
		var x session.SwitchValue
		x, err = session.ParseSwitchValue(r.PostForm.Get("value"))
		v = &x
	}
	if err == nil {
		o := session.OriginOf(r.Context())
		o.Actor = session.Person{ID: s.Identity.UserID, Email: s.Identity.Email}
		_, err = h.o.Switches.SetSwitch(session.WithOrigin(r.Context(), o), name, v, version)
	}
	switch {
	case err == nil:
		redirect(w, http.StatusSeeOther, h.o.GateOrigin+switchesPath+"?changed="+url.QueryEscape(name))
	case errors.Is(err, session.ErrUnavailable):
		h.trouble(w, r, "turning a switch of the policy", err)
	case errors.Is(err, session.ErrSwitchChanged):
		h.switches(w, r, s, http.StatusConflict, &pages.Notice{Tone: "bad", Text: "Somebody else has changed it meanwhile. Nothing else has changed; look at what it is now and decide anew."})
	case errors.Is(err, session.ErrNoSwitch):
		h.switches(w, r, s, http.StatusNotFound, &pages.Notice{Tone: "bad", Text: "The active policy declares no such switch. Nothing has changed."})
	default: // the text names the switch and what it may be
		h.switches(w, r, s, http.StatusUnprocessableEntity, &pages.Notice{Tone: "bad", Text: "Nothing has changed: " + err.Error() + "."})
	}
}
