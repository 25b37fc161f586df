package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web"
	"github.com/neosc/gate/session/web/pages"
)

const (
	registerPath = "/register"
	forgotPath   = "/account/forgot"
	signInPath   = "/oauth2/sign_in"
	// strangerForms is the purpose of the tokens of forms that strangers send.
	strangerForms = "registering and links"
)

// strangers are the pages of people who are not signed in. A GET of one spends
// nothing: mail scanners follow links.
func (c *Console) strangers() web.Routes {
	if !c.o.Passwords {
		return nil
	}
	return web.Routes{
		registerPath:           {"GET": c.registerForm, "POST": c.register},
		session.VerifyPath:     {"GET": c.verifyPage().form, "POST": c.verifyPage().post},
		forgotPath:             {"GET": c.forgotForm, "POST": c.forgot},
		session.ResetPath:      {"GET": c.resetPage().form, "POST": c.resetPage().post},
		session.InvitationPath: {"GET": c.invitationForm, "POST": c.acceptInvitation},
	}
}

// token is that of the link in the address, "" for none that could be one.
func token(r *http.Request) string {
	t := r.URL.Query().Get("token")
	if len(t) > 128 {
		return ""
	}
	return t
}

func (c *Console) tell(w http.ResponseWriter, status int, tone, heading, lead, text, path string) {
	c.o.Frame.Show(w, c.o.Pages.Told(pages.ToldView{Status: status, Tone: tone, Heading: heading, Lead: lead, NextText: text, NextPath: path}))
}

// spent answers for a link that opens nothing.
func (c *Console) spent(w http.ResponseWriter) {
	c.tell(w, http.StatusForbidden, "warn", "This link opens nothing any more.", "It has been used, or its time is over, or a part of it got lost on the way. A new mail brings a new one.", "Sign in", signInPath)
}

func (c *Console) registerForm(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Query().Has("done"):
		c.tell(w, 0, "good", "Look into your mail.", "If the address can have an account here, a link is on its way to it. It is good for 24 hours, and your account is there once you have followed it.", "Sign in", signInPath)
	case !c.o.Registrar.RegistrationOpen():
		c.o.Frame.Refuse(w, r, http.StatusNotFound, "unknown_route", nil)
	default:
		c.showRegister(w, r, pages.RegisterView{})
	}
}

func (c *Console) showRegister(w http.ResponseWriter, r *http.Request, v pages.RegisterView) {
	v.MinPassword, v.CSRF = c.o.MinPassword, c.o.Frame.Token(w, r, strangerForms, nil)
	c.o.Frame.Show(w, c.o.Pages.Register(v))
}

func (c *Console) register(w http.ResponseWriter, r *http.Request) {
	form, ok := c.o.Frame.Form(w, r, strangerForms, nil)
	if !ok {
		return
	}
	if c.registered(w, r, form, "") {
		c.o.Frame.SeeOther(w, registerPath+"?done=1")
	}
}

// registered registers somebody, or says why not.
func (c *Console) registered(w http.ResponseWriter, r *http.Request, form url.Values, invitation string) bool {
	_, err := c.o.Registrar.Register(r.Context(), session.Registration{
		Email: form.Get("email"), Password: form.Get("password"), Name: form.Get("name"), Organization: form.Get("organization"), Invitation: invitation,
	}, web.ClientAddr(r))
	if err == nil {
		return true
	}
	status, text, ok := c.explain(w, err)
	switch {
	case errors.Is(err, session.ErrLink):
		text = "The invitation has been used or is over, or it is for another email."
	case errors.Is(err, session.ErrUserExists):
		text += " Sign in, and open the link of the invitation again."
	case !ok:
		c.o.Frame.Trouble(w, r, "registering somebody", err)
		return false
	}
	c.showRegister(w, r, pages.RegisterView{
		Status: status, Name: form.Get("name"), Email: form.Get("email"), Organization: form.Get("organization"), Invitation: invitation, Notice: bad("There is no account yet. " + text),
	})
	return false
}

func (c *Console) showLink(w http.ResponseWriter, r *http.Request, v pages.LinkView) {
	v.MinPassword, v.CSRF = c.o.MinPassword, c.o.Frame.Token(w, r, strangerForms, nil)
	c.o.Frame.Show(w, c.o.Pages.Link(v))
}

// linkFailed shows a form again with what is wrong, or says what else is.
func (c *Console) linkFailed(w http.ResponseWriter, r *http.Request, doing string, err error, v pages.LinkView) {
	status, text, ok := c.explain(w, err)
	switch {
	case errors.Is(err, session.ErrLink):
		c.spent(w)
	case !ok:
		c.o.Frame.Trouble(w, r, doing, err)
	default:
		v.Status, v.Notice = status, bad(text)
		c.showLink(w, r, v)
	}
}

// linkPage is a page to which a one-time link of a mail leads: a form that asks
// for a password, and what is done with both.
type linkPage struct {
	c     *Console
	view  pages.LinkView
	doing string // for the log
	// done and then are told once it is done.
	done, then string
	spend      func(ctx context.Context, token, password, clientAddr string) error
}

func (c *Console) verifyPage() linkPage {
	return linkPage{
		c: c, doing: "verifying an email", done: "Your account is ready.", then: "Your email is verified, and your role counts from now on.",
		spend: func(ctx context.Context, token, password, clientAddr string) error {
			_, err := c.o.Registrar.VerifyEmail(ctx, token, password, clientAddr)
			return err
		},
		view: pages.LinkView{
			Heading: "Is this your email?", Lead: "Enter the password that you chose when you made the account: so nobody makes one with your address.",
			Action: session.VerifyPath, Button: "This is my email", Password: true,
		},
	}
}

func (c *Console) resetPage() linkPage {
	return linkPage{
		c: c, doing: "setting a new password", done: "Your password is changed.", then: "All sessions of the account have ended.",
		spend: func(ctx context.Context, token, password, clientAddr string) error {
			_, err := c.o.Registrar.ResetPassword(ctx, token, password, clientAddr)
			return err
		},
		view: pages.LinkView{
			Heading: "Choose a new password", Lead: "All sessions of the account end with it.", Action: session.ResetPath, Button: "Set this password", NewPassword: true,
		},
	}
}

// form shows the page. It spends no link: mail programs open links by themselves.
func (p linkPage) form(w http.ResponseWriter, r *http.Request) {
	p.view.Token = token(r)
	switch {
	case r.URL.Query().Has("done"):
		p.c.tell(w, 0, "good", p.done, p.then, "Sign in", signInPath)
	case p.view.Token == "":
		p.c.spent(w)
	default:
		p.c.showLink(w, r, p.view)
	}
}

func (p linkPage) post(w http.ResponseWriter, r *http.Request) {
	form, ok := p.c.o.Frame.Form(w, r, strangerForms, nil)
	if !ok {
		return
	}
	p.view.Token = form.Get("token")
	if err := p.spend(r.Context(), p.view.Token, form.Get("password"), web.ClientAddr(r)); err != nil {
		p.c.linkFailed(w, r, p.doing, err, p.view)
		return
	}
	p.c.o.Frame.SeeOther(w, p.view.Action+"?done=1")
}

func forgotView(email string) pages.LinkView {
	return pages.LinkView{
		Heading: "Choose a new password", Lead: "A link to do so comes by mail. It is good for one hour.", Action: forgotPath, Button: "Send the link", Email: email,
	}
}

func (c *Console) forgotForm(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("done") {
		c.tell(w, 0, "good", "Look into your mail.", "If there is an account of that address, a link is on its way to it. Until it is used the present password stays good.", "Sign in", signInPath)
		return
	}
	c.showLink(w, r, forgotView(""))
}

func (c *Console) forgot(w http.ResponseWriter, r *http.Request) {
	form, ok := c.o.Frame.Form(w, r, strangerForms, nil)
	if !ok {
		return
	}
	if err := c.o.Registrar.RequestReset(r.Context(), form.Get("email"), web.ClientAddr(r)); err != nil {
		c.linkFailed(w, r, "sending a link for a new password", err, forgotView(form.Get("email")))
		return
	}
	c.o.Frame.SeeOther(w, forgotPath+"?done=1")
}

// invitationForm offers to join to who is signed in, and else to register.
func (c *Console) invitationForm(w http.ResponseWriter, r *http.Request) {
	s, ok := c.o.Frame.Visitor(w, r)
	if !ok {
		return
	}
	switch t := token(r); {
	case r.URL.Query().Has("done"):
		c.tell(w, 0, "good", "You are in.", "You belong to the organization that invited you.", "Continue", "/")
	case t == "":
		c.spent(w)
	case s == nil:
		c.showRegister(w, r, pages.RegisterView{Invitation: t})
	default:
		c.o.Frame.Show(w, c.o.Pages.Link(joinView(t, c.o.Frame.Token(w, r, strangerForms, s), s)))
	}
}

func joinView(token, csrf string, s *session.Session) pages.LinkView {
	return pages.LinkView{
		Heading: "Join the organization?", Lead: "You are signed in as " + pages.Shown(s.Identity.Email) + ", and leave the organization in which you are now.",
		Action: session.InvitationPath, Button: "Join", Token: token, CSRF: csrf,
	}
}

func (c *Console) acceptInvitation(w http.ResponseWriter, r *http.Request) {
	s, ok := c.o.Frame.Visitor(w, r)
	if !ok {
		return
	}
	form, ok := c.o.Frame.Form(w, r, strangerForms, s)
	if !ok {
		return
	}
	if s == nil {
		if c.registered(w, r, form, form.Get("token")) {
			c.o.Frame.SeeOther(w, session.VerifyPath+"?done=1")
		}
		return
	}
	_, err := c.o.Organizations.AcceptInvitation(as(r, s), s.Identity.UserID, form.Get("token"))
	switch {
	case err == nil:
		c.o.Frame.SeeOther(w, session.InvitationPath+"?done=1")
	case errors.Is(err, session.ErrLink), errors.Is(err, session.ErrNoUser):
		c.spent(w)
	default:
		c.o.Frame.Trouble(w, r, "accepting an invitation", err)
	}
}
