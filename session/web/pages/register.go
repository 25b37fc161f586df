package pages

import "github.com/neosc/gate/session"

// RegisterView is the page on which somebody makes an account.
type RegisterView struct {
	// Status is the answer's status; 0 means 200.
	Status int
	// Name, Email and Organization are what was typed before.
	Name, Email, Organization string
	// Invitation is the token of an invitation, or "".
	Invitation  string
	MinPassword int
	CSRF        string
	Notice      *Notice
}

// Register renders the page.
func (r *Renderer) Register(v RegisterView) Page {
	v.Name, v.Email, v.Organization, v.Invitation = shown(v.Name, 200), shown(v.Email, 254), shown(v.Organization, 200), shown(v.Invitation, 128)
	s := r.own
	s.Title = "Create your account"
	action := "/register"
	if v.Invitation != "" {
		action = session.InvitationPath
	}
	return r.render("register", r.ownCSP(), orStatus(v.Status), struct {
		shell
		RegisterView
		Action string
	}{s, v, action})
}

// LinkView is a page at which a one-time link of a mail points, or on which one
// is asked for: a form with a field or two.
type LinkView struct {
	// Status is the answer's status; 0 means 200.
	Status        int
	Heading, Lead string
	// Action is where the form goes, Button what it does.
	Action, Button string
	// Token is the link's, "" where one is asked for: then Email is the field.
	Token, Email string
	// NewPassword says that the password is a new one; without either there is none.
	Password, NewPassword bool
	MinPassword           int
	CSRF                  string
	Notice                *Notice
}

// Link renders the page.
func (r *Renderer) Link(v LinkView) Page {
	v.Email, v.Token = shown(v.Email, 254), shown(v.Token, 128)
	s := r.own
	s.Title = v.Heading
	return r.render("link", r.ownCSP(), orStatus(v.Status), struct {
		shell
		LinkView
	}{s, v})
}

// ToldView is a page that says something, and leads on.
type ToldView struct {
	Status             int
	Tone               string
	Heading, Lead      string
	NextText, NextPath string
}

// Told renders the page.
func (r *Renderer) Told(v ToldView) Page {
	s := r.own
	s.Title = v.Heading
	emblem := "leave"
	if v.Tone != "good" {
		emblem = "clock"
	}
	return r.render("told", r.ownCSP(), orStatus(v.Status), struct {
		shell
		ToldView
		Emblem string
	}{s, v, emblem})
}
