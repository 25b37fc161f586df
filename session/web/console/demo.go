package console

import (
	"errors"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web"
	"github.com/neosc/gate/session/web/pages"
)

const (
	demoPath = "/demo"
	// maxLive is how many live grants of a person their page shows.
	maxLive = 20
)

// demoID is what the id of a grant looks like; nothing else is looked up.
var demoID = regexp.MustCompile(`^demo-[0-9A-Za-z_-]{1,100}$`)

// demoPages are the pages of demo grants, none where there are no demos.
func (c *Console) demoPages() web.Routes {
	if c.o.Demos == nil {
		return nil
	}
	return web.Routes{
		demoPath:                 {"GET": c.demoForm, "POST": c.askDemo},
		demoPath + "/{id}":       {"GET": c.demo, "POST": c.endDemo},
		adminDemosPath:           {"GET": c.demos},
		adminDemosPath + "/all":  {"GET": c.allDemos},
		adminDemosPath + "/{id}": {"GET": c.adminDemo, "POST": c.changeDemo},
	}
}

func (c *Console) demoForm(w http.ResponseWriter, r *http.Request) {
	s := c.o.Frame.Person(w, r)
	if s == nil {
		return
	}
	v := pages.DemoFormView{Chosen: search(r, "type")}
	if v.Chosen != "" && !slices.ContainsFunc(c.o.Demos.Kinds(), func(k session.WorkspaceKind) bool { return k.Name == v.Chosen }) {
		v.Chosen, v.Notice = "", &pages.Notice{Tone: "info", Text: "There is no workspace of that kind any more. These are what there is."}
	}
	c.showDemoForm(w, r, s, v)
}

func (c *Console) showDemoForm(w http.ResponseWriter, r *http.Request, s *session.Session, v pages.DemoFormView) {
	live, err := c.o.Demos.PageGrants(r.Context(), session.DemoQuery{UserID: s.Identity.UserID, Live: true, Limit: maxLive})
	if err != nil {
		c.o.Frame.Trouble(w, r, "listing somebody's demo sessions", err)
		return
	}
	v.Email, v.CSRF, v.Kinds, v.Live, v.Now = s.Identity.Email, c.o.Frame.Token(w, r, pageForms, s), c.o.Demos.Kinds(), live.Grants, c.o.Clock()
	c.o.Frame.Show(w, c.o.Pages.DemoForm(v))
}

func (c *Console) askDemo(w http.ResponseWriter, r *http.Request) {
	s := c.o.Frame.Person(w, r)
	if s == nil {
		return
	}
	form, ok := c.o.Frame.Form(w, r, pageForms, s)
	if !ok {
		return
	}
	v := pages.DemoFormView{Chosen: form.Get("type"), Purpose: strings.TrimSpace(form.Get("purpose"))}
	if len([]rune(v.Purpose)) > pages.MaxPurpose {
		v.Status, v.Notice = http.StatusUnprocessableEntity, bad("Nothing was asked for: what you would like to try has "+strconv.Itoa(pages.MaxPurpose)+" characters at the most.")
		c.showDemoForm(w, r, s, v)
		return
	}
	g, err := c.o.Demos.Request(as(r, s), s, session.DemoRequest{WorkspaceType: v.Chosen, Purpose: v.Purpose})
	if err == nil {
		c.o.Frame.SeeOther(w, demoPath+"/"+g.ID)
		return
	}
	status, text, ok := demoProblem(w, err)
	if !ok {
		c.o.Frame.Trouble(w, r, "asking for a demo session", err)
		return
	}
	v.Status, v.Notice = status, bad(text)
	c.showDemoForm(w, r, s, v)
}

// grant is the one of the address, nil if it has answered: a person sees their
// own, and an administrator all. Somebody else's is not there.
func (c *Console) grant(w http.ResponseWriter, r *http.Request, s *session.Session) *session.DemoGrant {
	id := r.PathValue("id")
	err := session.ErrNoDemo
	var g session.DemoGrant
	if demoID.MatchString(id) {
		g, err = c.o.Demos.Grant(r.Context(), id)
	}
	switch {
	case err == nil && (g.UserID == s.Identity.UserID || c.o.Frame.IsAdministrator(r.Context(), s)):
		return &g
	case err == nil || errors.Is(err, session.ErrNoDemo):
		c.o.Frame.Refuse(w, r, http.StatusNotFound, "unknown_route", s)
	default:
		c.o.Frame.Trouble(w, r, "looking up a demo session", err)
	}
	return nil
}

func (c *Console) demo(w http.ResponseWriter, r *http.Request) {
	s := c.o.Frame.Person(w, r)
	if s == nil {
		return
	}
	g := c.grant(w, r, s)
	switch {
	case g == nil:
	case g.UserID != s.Identity.UserID:
		c.o.Frame.SeeOther(w, adminDemosPath+"/"+g.ID)
	default:
		c.showDemo(w, r, s, g, 0, nil)
	}
}

func (c *Console) showDemo(w http.ResponseWriter, r *http.Request, s *session.Session, g *session.DemoGrant, status int, n *pages.Notice) {
	v := pages.DemoView{Status: status, Notice: n, Grant: *g, Kinds: c.o.Demos.Kinds(), CSRF: c.o.Frame.Token(w, r, pageForms, s), Now: c.o.Clock()}
	if c.o.Workspace != nil {
		v.OpenURL = c.o.Workspace()
	}
	c.o.Frame.Show(w, c.o.Pages.Demo(v))
}

// endDemo ends somebody's own.
func (c *Console) endDemo(w http.ResponseWriter, r *http.Request) {
	s := c.o.Frame.Person(w, r)
	if s == nil {
		return
	}
	form, ok := c.o.Frame.Form(w, r, pageForms, s)
	if !ok {
		return
	}
	g := c.grant(w, r, s)
	if g == nil {
		return
	}
	if form.Get("do") != "end" || g.UserID != s.Identity.UserID {
		c.o.Frame.Refuse(w, r, http.StatusForbidden, "form_refused", s)
		return
	}
	_, err := c.o.Demos.End(as(r, s), g.ID, session.Person{ID: s.Identity.UserID, Email: s.Identity.Email}, "")
	status, text, known := demoProblem(w, err)
	switch {
	case err == nil:
		c.o.Frame.SeeOther(w, demoPath+"/"+g.ID)
	case known:
		c.showDemo(w, r, s, g, status, bad(text))
	default:
		c.o.Frame.Trouble(w, r, "ending a demo session", err)
	}
}

// demoProblem says what an error of demos means to whoever sent the form; ok is
// false for one that is the gate's own trouble, and for none.
func demoProblem(w http.ResponseWriter, err error) (status int, text string, ok bool) {
	full, atCap := errors.AsType[*session.DemoCapError](err)
	switch {
	case err == nil:
		return 0, "", false
	case atCap:
		return http.StatusTooManyRequests, capText(w, full), true
	case errors.Is(err, session.ErrNoDemo):
		return http.StatusNotFound, "There is no such demo any more. Nothing has changed.", true
	case errors.Is(err, session.ErrDemoState):
		return http.StatusConflict, "The demo has moved on meanwhile, and that is not possible any more. Nothing has changed; this is how it is now.", true
	case errors.Is(err, session.ErrBadDemo):
		return http.StatusUnprocessableEntity, "Nothing has changed: " + strings.TrimPrefix(err.Error(), session.ErrBadDemo.Error()+": ") + ".", true
	}
	return 0, "", false
}

// capText says which cap is reached, and until when.
func capText(w http.ResponseWriter, full *session.DemoCapError) string {
	text := map[string]string{
		"user":         "You have as many demos as one person may have at a time.",
		"organization": "Your organization has as many demos as it may have at a time.",
		"address":      "As many demos run from your network as may run from one address at a time.",
	}[full.Cap]
	if text == "" {
		text = "All workspaces for demos are taken at the moment."
	}
	if full.RetryAfter <= 0 {
		return text + " Nothing was asked for; try again in a while."
	}
	seconds := max(1, int(math.Ceil(full.RetryAfter.Seconds())))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return text + " The next place is free in " + pages.InWords(seconds) + " at the latest."
}
