package pages

// words are what a refusal says for one reason. Heading says what happened,
// Lead why and what stays true; {host} and {of} are filled in.
type words struct {
	title, Heading, Lead string
	Emblem, Tone         string
	// norole replaces Lead for people without any role.
	norole string
	// acts names the links, the first one primary.
	acts  []string
	hours bool
	// stranger leaves out who is signed in: it explains nothing here, or is
	// what could not be told.
	stranger bool
}

// byReason lists refusals from the one that is most useful to hear to the
// least: of several reasons the page speaks of the first here. A wrong role
// comes before closed hours, because waiting would not help.
var byReason = []struct {
	code string
	words
}{
	{"session_store_unavailable", words{stranger: true, title: "Temporary trouble", Heading: "We could not check who you are.", Lead: "The store of sessions did not answer, so the gate opened nothing. The fault is ours, and it is in our log. A session that you have goes on: there is no need to sign in again.", Emblem: "bolt", Tone: "bad", acts: []string{"retry"}}},
	{"policy_error", words{title: "Temporary trouble", Heading: "We could not decide about this request.", Lead: "The rules for {host} gave no answer, so the gate opened nothing. The fault is ours, and it is in our log.", Emblem: "bolt", Tone: "bad", acts: []string{"retry", "apps"}}},
	{"limits_unavailable", words{title: "Temporary trouble", Heading: "We could not count this request.", Lead: "What counts requests did not answer, and {host} opens only when it does. The fault is ours, and it is in our log.", Emblem: "bolt", Tone: "bad", acts: []string{"retry", "apps"}}},
	{"rate_limited", words{title: "Too many requests", Heading: "Too many requests", Lead: "More requests came than are open to you here. This one was not carried out.", Emblem: "gauge", Tone: "warn", acts: []string{"retry"}}},
	{"bad_request", words{stranger: true, title: "Not readable", Heading: "The gate could not read this request.", Lead: "Its address or its headers have a form that can mean two things, so it was not passed on.", Emblem: "what", Tone: "warn", acts: []string{"apps"}}},
	{"form_refused", words{stranger: true, title: "Form not accepted", Heading: "The gate did not accept this form.", Lead: "It did not come from a page of the gate that is still good, or it is not a form that the gate has. Nothing was done, and opening the page again mends it.", Emblem: "bars", Tone: "warn", acts: []string{"apps"}}},
	{"method_not_allowed", words{stranger: true, title: "Not possible here", Heading: "This address does not do that.", Lead: "The request wanted a deed that {host} does not know. Nothing was changed.", Emblem: "what", Tone: "warn", acts: []string{"open", "apps"}}},
	{"unknown_route", words{stranger: true, title: "Nothing here", Heading: "There is nothing at this address.", Lead: "The gate knows no application there. The address may be old, or have a typing error.", Emblem: "what", Tone: "info", acts: []string{"apps"}}},
	{"ambiguous_credentials", words{stranger: true, title: "Two sessions at once", Heading: "Two sessions arrived at once.", Lead: "Your browser sent more than one valid session, so nobody can tell which one asks. Signing in again leaves one.", Emblem: "bars", Tone: "warn", acts: []string{"signin"}}},
	{"invalid_token", words{stranger: true, title: "Token not valid", Heading: "This access token opens nothing.", Lead: "The request carried an access token that is not valid, or not any more.", Emblem: "bars", Tone: "bad", acts: []string{"signin"}}},
	{"unauthenticated", words{stranger: true, title: "Sign in first", Heading: "Sign in first.", Lead: "{host} opens to people who are signed in, and this request came without a session. It was not carried out.", Emblem: "bars", Tone: "info", acts: []string{"signin"}}},
	{"client_certificate_expired", words{stranger: true, title: "Certificate has ended", Heading: "Your certificate does not hold now.", Lead: "{host} knows who asks by a client certificate, and the time of yours is over, or has not begun. The request was not carried out.", Emblem: "clock", Tone: "bad", acts: []string{"retry"}}},
	{"client_certificate_revoked", words{stranger: true, title: "Certificate revoked", Heading: "Your certificate has been revoked.", Lead: "{host} knows who asks by a client certificate, and yours was taken back. The request was not carried out.", Emblem: "bars", Tone: "bad", acts: []string{"retry"}}},
	{"client_certificate_required", words{stranger: true, title: "Needs a certificate", Heading: "This opens with a client certificate.", Lead: "{host} knows who asks by a client certificate, and this connection showed none to it. The request was not carried out.", Emblem: "bars", Tone: "warn", acts: []string{"retry"}}},
	{"origin_mismatch", words{stranger: true, title: "Sent from elsewhere", Heading: "This request came from another site.", Lead: "A page that may not act on {host} sent it with your session, so it was not carried out. To do it yourself, open {host} and do it there.", Emblem: "bars", Tone: "bad", acts: []string{"open", "apps"}}},
	{"mfa_required", words{title: "Needs a second factor", Heading: "This opens with a second factor.", Lead: "The rules for {host} ask for more than a password, and this session began without it. Where you signed in at a provider, the second factor is set up and shown there.", Emblem: "bars", Tone: "warn", acts: []string{"switch", "apps"}}},
	{"step_up_required", words{title: "Show it once more", Heading: "Show your second factor once more.", Lead: "The rules for {host} want it to have been shown a short while ago. Nothing was lost; open the page again to do so.", Emblem: "clock", Tone: "warn", acts: []string{"open", "apps"}}},
	{"role_required", words{title: "Not open to your role", Heading: "Your role does not open this page.", Lead: "That does not open {host}. An administrator can change it.", norole: "You have no role yet, and without one nothing opens. An administrator can give you one.", Emblem: "bars", Tone: "bad", acts: []string{"apps", "switch"}}},
	{"demo_expired", words{title: "The demo has ended", Heading: "Your demo has ended.", Lead: "A demo opens its applications until its time is over, and yours is.", Emblem: "glass", Tone: "info", acts: []string{"demo", "apps", "switch"}}},
	{"demo_required", words{title: "Needs a demo session", Heading: "This opens with a demo session.", Lead: "{host} opens to people who have a demo session, and you have none now.", Emblem: "glass", Tone: "warn", acts: []string{"demo", "apps", "switch"}}},
	{"read_only", words{title: "For reading only", Heading: "You may read here, and not change.", Lead: "That may read from {host}. This request wanted to change something and was not carried out.", Emblem: "bars", Tone: "warn", acts: []string{"open", "apps"}}},
	{"outside_business_hours", words{title: "Closed at this hour", Heading: "Closed at this hour.", hours: true, Emblem: "clock", Tone: "warn", acts: []string{"apps"}}},
}

// byStatus is for reasons that byReason lacks, policy's own among them.
var byStatus = map[int]string{
	400: "bad_request", 413: "form_refused", 415: "form_refused", 401: "unauthenticated", 404: "unknown_route", 405: "method_not_allowed", 429: "rate_limited",
}

// wordsFor never fails: a status alone has words.
func wordsFor(status int, reasons []string) words {
	if status == 429 {
		reasons = []string{"rate_limited"}
	}
	for pass := range 2 {
		for _, r := range byReason {
			for _, code := range reasons {
				if code == r.code {
					return r.words
				}
			}
		}
		if code, ok := byStatus[status]; pass == 0 && ok {
			reasons = []string{code}
		}
	}
	if status >= 500 {
		return words{title: "Temporary trouble", Heading: "Something failed on our side.", Lead: "The gate could not finish this request, so it opened nothing. The fault is ours, and it is in our log.", Emblem: "bolt", Tone: "bad", acts: []string{"retry", "apps"}}
	}
	return words{title: "Not open to you", Heading: "This page is not open to you.", Lead: "The rules for {host} do not open it now.", norole: "You have no role yet, and without one nothing opens. An administrator can give you one.", Emblem: "bars", Tone: "bad", acts: []string{"apps", "switch"}}
}
