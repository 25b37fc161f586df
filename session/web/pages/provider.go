package pages

import (
	"net/url"
	"strings"
)

// Choice is one place to sign in at.
type Choice struct {
	// ID is the provider's; Name and Note say which it is and whom it is for.
	ID, Name, Note string
}

// ChooserView is the page on which somebody chooses where to sign in.
// ReturnTo must have been checked.
type ChooserView struct {
	// Target names the host to which signing in leads; "" for the landing page.
	Target, ReturnTo string
	Choices          []Choice
	// Local says that accounts of the gate's own exist too.
	Local bool
}

// Chooser renders the choice. Its choices are links and no form: browsers hold
// every redirect after a form to form-action, and a provider may send people on
// to further ones that nobody can list.
func (r *Renderer) Chooser(v ChooserView) Page {
	s := r.own
	s.Title = "Choose where to sign in"
	type choice struct{ URL, Name, Note, Icon string }
	d := struct {
		shell
		Target, LocalURL string
		Choices          []choice
	}{shell: s, Target: shown(v.Target, maxHostShown)}
	for _, c := range v.Choices {
		icon := "server"
		if strings.Contains(c.ID, "cloud") {
			icon = "cloud"
		}
		d.Choices = append(d.Choices, choice{SignInAt(c.ID, v.ReturnTo), shown(c.Name, 60), shown(c.Note, 120), icon})
	}
	if v.Local {
		d.LocalURL = SignInAt("local", v.ReturnTo)
	}
	return r.render("chooser", r.ownCSP(), 200, d)
}

// SignInAt is the path of the sign-in page at one provider, "" for the choice,
// that leads to a checked target.
func SignInAt(provider, returnTo string) string {
	q := url.Values{}
	if provider != "" {
		q.Set("provider", provider)
	}
	if returnTo != "" {
		q.Set("rd", returnTo)
	}
	if len(q) == 0 {
		return "/oauth2/sign_in"
	}
	return "/oauth2/sign_in?" + q.Encode()
}

// TroubleView is a sign-in at a provider that did not come about. ReturnTo
// must have been checked.
type TroubleView struct {
	// Status is the answer's; Reason is one of session.LoginReason, or
	// "sign_in_loop".
	Status int
	Reason string
	// Provider is its name for people, ProviderID its id; "" if it has none.
	Provider, ProviderID string
	ReturnTo, RequestID  string
}

// troubleWords say for each reason what happened, why, and what to do;
// {provider} is filled in.
func troubleWords(reason string) words {
	switch reason {
	case "provider_unavailable", "login_superseded":
		return words{title: "Sign-in is not possible now", Heading: "{provider} does not answer.", Lead: "People sign in there, and it gave no usable answer, so nobody was signed in. This usually passes. Whoever is signed in already stays so.", Emblem: "bolt", Tone: "bad", acts: []string{"again", "other"}}
	case "login_state_invalid":
		return words{title: "This sign-in is over", Heading: "This sign-in is too old.", Lead: "It was finished before, took more than 10 minutes, or began in another browser. Nothing was passed on. Beginning again takes a moment; if it ends here once more, this browser may refuse cookies.", Emblem: "clock", Tone: "warn", acts: []string{"again", "other"}}
	case "login_denied":
		return words{title: "Not signed in", Heading: "{provider} did not let you in.", Lead: "You cancelled there, or your account may not use this gate. An administrator of {provider} can change the latter.", Emblem: "bars", Tone: "warn", acts: []string{"again", "other"}}
	case "clock_off":
		return words{title: "A clock is wrong", Heading: "Two clocks disagree.", Lead: "What {provider} sent is not valid yet or not any more by the gate's clock, so nobody was signed in. It is no fault of yours. An administrator has to set the clock of one of the two.", Emblem: "clock", Tone: "bad", acts: []string{"again", "other"}}
	case "identity_refused":
		return words{title: "Not signed in", Heading: "Your account cannot be used here.", Lead: "{provider} knows you, but what it says of your account is something that the gate does not accept: a name with odd characters, or an organization that is not served here. An administrator finds the cause with the id below.", Emblem: "bars", Tone: "bad", acts: []string{"other"}}
	case "login_ended":
		return words{title: "This sign-in is over", Heading: "{provider} ended this sign-in.", Lead: "You were signed out there while you were signing in here. Begin again if that was not meant.", Emblem: "leave", Tone: "info", acts: []string{"again", "other"}}
	case "provider_unknown":
		return words{title: "Nothing here", Heading: "There is no such place to sign in.", Lead: "The address names none that this gate works with. It may be old, or have a typing error.", Emblem: "what", Tone: "info", acts: []string{"other"}}
	case "sign_in_loop":
		return words{title: "Signing in went in circles", Heading: "You were sent here again and again.", Lead: "{provider} let you in each time, and the application sent you back. Something removes the session: another tab that signs out, a browser that refuses cookies, or a cookie of a sibling site. Stray cookies have been cleared just now.", Emblem: "bars", Tone: "warn", acts: []string{"again", "apps"}}
	default:
		return words{title: "Sign-in failed", Heading: "What {provider} sent does not hold.", Lead: "The answer failed a check, so nobody was signed in. Beginning again may help once. If it does not, an administrator finds the cause with the id below.", Emblem: "bars", Tone: "bad", acts: []string{"again", "other"}}
	}
}

// Trouble renders the page of a sign-in that failed.
func (r *Renderer) Trouble(v TroubleView) Page {
	w := troubleWords(v.Reason)
	name := shown(v.Provider, 60)
	if name == "" {
		name = "The provider"
	}
	fill := strings.NewReplacer("{provider}", name)
	w.Heading, w.Lead = fill.Replace(w.Heading), fill.Replace(w.Lead)
	s := r.own
	s.Title, s.Wide = w.title, true
	all := map[string]act{
		"again": {Text: "Sign in again", URL: SignInAt(v.ProviderID, v.ReturnTo)},
		"other": {Text: "Sign in elsewhere", URL: SignInAt("", v.ReturnTo)},
		"apps":  {Text: "Your apps", URL: "/"},
	}
	d := refusal{shell: s, words: w, Status: v.Status, RequestID: shown(v.RequestID, maxIDShown)}
	for _, name := range w.acts {
		a := all[name]
		if a.Class = "btn"; len(d.Acts) == 0 {
			a.Class = "btn primary"
		}
		d.Acts = append(d.Acts, a)
	}
	return r.render("refusal", r.ownCSP(), v.Status, d)
}

// SignedOutAt renders the page after a sign-out that a provider finishes:
// continueURL leads there.
func (r *Renderer) SignedOutAt(provider, continueURL string) Page {
	s := r.own
	s.Title = "Signed out"
	return r.render("signedoutat", r.ownCSP(), 200, struct {
		shell
		Provider, URL, Emblem, Tone string
	}{s, shown(provider, 60), continueURL, "leave", "good"})
}
