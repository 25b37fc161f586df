package pages

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Notice is a sentence above a form.
type Notice struct {
	// Tone is "bad", "warn" or "info".
	Tone, Text string
}

// SignInView is the sign-in page. ReturnTo must have been checked.
type SignInView struct {
	// Status is the answer's status; 0 means 200.
	Status int
	// Target names the host to which signing in leads; "" for the landing page.
	Target, ReturnTo string
	CSRF             string
	// Email is what was typed before.
	Email  string
	Notice *Notice
	// Wrong marks the password field as the cause.
	Wrong bool
	// Passkeys says that a passkey alone signs in too.
	Passkeys bool
	// Register says that anybody may make an account, Forgot that a new password
	// can be had by mail.
	Register, Forgot bool
}

// SignIn renders the sign-in page.
func (r *Renderer) SignIn(v SignInView) Page {
	v.Email, v.Target = shown(v.Email, 254), shown(v.Target, maxHostShown)
	s := r.own
	s.Title = "Sign in"
	passkey := ""
	if v.Passkeys {
		passkey = passkeyAt(v.ReturnTo)
	}
	return r.render("signin", r.ownCSP(), orStatus(v.Status), struct {
		shell
		SignInView
		PasskeyURL string
	}{s, v, passkey})
}

// SignOutView is the question before a sign-out. ReturnTo must have been checked.
type SignOutView struct {
	Status                int
	Email, ReturnTo, CSRF string
}

// SignOut renders the question.
func (r *Renderer) SignOut(v SignOutView) Page {
	v.Email = shown(v.Email, maxEmailShown)
	s := r.own
	s.Title = "Sign out"
	return r.render("signout", r.ownCSP(), orStatus(v.Status), struct {
		shell
		SignOutView
		Emblem, Tone string
	}{s, v, "leave", "info"})
}

// SignedOut renders the page after a sign-out. signInURL is a path on the gate.
func (r *Renderer) SignedOut(signInURL string) Page {
	s := r.own
	s.Title = "Signed out"
	return r.render("signedout", r.ownCSP(), 200, struct {
		shell
		SignInURL, Emblem, Tone string
	}{s, signInURL, "leave", "good"})
}

// App is one application on the landing page.
type App struct {
	// Title names it, Description says in a few words what it is for.
	Title, Description string
	// URL is where it opens, Host what is shown of it.
	URL, Host string
	// Icon is "grid", "braces", "screen", "gear" or "app"; "" means "app".
	Icon string
	// Open says whether policy opens it to this person now. Reasons say why
	// not, OpensAt (may be zero) when hours will.
	Open    bool
	Reasons []string
	OpensAt time.Time
}

// LandingView is the landing page of somebody who is signed in.
type LandingView struct {
	Email, Name, Organization string
	Roles                     []string
	Apps                      []App
	ExpiresAt, Now            time.Time
	CSRF                      string
	Notice                    *Notice
	// Theme is the menu of colours.
	Theme Theme
	// Demo is the id of the person's demo session, "" for none.
	Demo string
	// Admin says that the console is open to them.
	Admin bool
}

type appCard struct {
	App
	Badge badge
	// DemoURL is where a demo can be asked for that would open it, "" if it would
	// not.
	DemoURL string
}

type badge struct{ Tone, Icon, Text string }

// Landing renders the landing page.
func (r *Renderer) Landing(v LandingView) Page {
	s := r.own
	s.Title = "Your apps"
	d := struct {
		shell
		Email, Name, Initials, Organization, Roles, Summary, Until, UntilStamp, CSRF string
		Notice                                                                       *Notice
		Open, Closed                                                                 []appCard
		DemoURL                                                                      string
		Admin, Demos                                                                 bool
		Theme                                                                        Theme
	}{
		shell: s, Email: shown(v.Email, maxEmailShown), Name: shown(or(v.Name, v.Email), 60), Organization: shown(v.Organization, 60),
		Roles: shownRoles(v.Roles), Until: r.at(v.ExpiresAt, "15:04"), UntilStamp: v.ExpiresAt.UTC().Format(time.RFC3339), CSRF: v.CSRF, Notice: v.Notice,
		Admin: v.Admin, Demos: r.demos, Theme: v.Theme,
	}
	if r.demos && v.Demo != "" {
		d.DemoURL = demoAt(v.Demo)
	}
	d.Initials = initials(d.Name)
	for _, a := range v.Apps {
		a.Icon = or(a.Icon, "app")
		c := appCard{App: a}
		if a.Open {
			d.Open = append(d.Open, c)
			continue
		}
		c.Badge = r.badge(a, v.Now)
		if r.demos && (slices.Contains(a.Reasons, "demo_required") || slices.Contains(a.Reasons, "demo_expired")) {
			c.DemoURL = "/demo"
		}
		d.Closed = append(d.Closed, c)
	}
	switch len(d.Open) {
	case 0:
		d.Summary = "None is open to you now."
	case 1:
		d.Summary = "1 is open to you now."
	default:
		d.Summary = fmt.Sprintf("%d are open to you now.", len(d.Open))
	}
	return r.render("landing", r.ownCSP(), 200, d)
}

// badge says in a few words why an application is not open.
func (r *Renderer) badge(a App, now time.Time) badge {
	has := map[string]bool{}
	for _, c := range a.Reasons {
		has[c] = true
	}
	switch {
	case has["role_required"]:
		return badge{Text: "For other roles"}
	case has["demo_expired"]:
		return badge{"warn", "glass", "The demo has ended"}
	case has["demo_required"]:
		return badge{"warn", "glass", "Needs a demo session"}
	case has["outside_business_hours"] && !a.OpensAt.IsZero():
		when := opens(a.OpensAt.In(r.location), now)
		return badge{"", "clock", "Opens " + when}
	case has["outside_business_hours"]:
		return badge{"", "clock", "Closed at this hour"}
	case has["policy_error"]:
		return badge{"bad", "alert", "Could not be asked"}
	default:
		return badge{Text: "Not open to you"}
	}
}

// initials returns one or two letters for the round mark beside a name.
func initials(name string) string {
	out := []rune{}
	for _, word := range strings.Fields(name) {
		if c, _ := utf8.DecodeRuneInString(word); unicode.IsLetter(c) || unicode.IsDigit(c) {
			out = append(out, unicode.ToUpper(c))
		}
	}
	if len(out) > 2 {
		out = []rune{out[0], out[len(out)-1]}
	}
	return string(out)
}

func orStatus(s int) int {
	if s == 0 {
		return 200
	}
	return s
}
