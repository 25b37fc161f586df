package pages

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// RefusalView is what a refusal knows. Strings that a client chose are shown
// bounded and escaped; zero fields are left out of the page.
type RefusalView struct {
	// Status is the HTTP status, 400..599; 0 means 403.
	Status int
	// Reasons are codes; the page speaks of the one that helps most.
	Reasons []string
	// Host and Path say what was asked for; a query is never shown.
	Host, Path, Method string
	// Origin is the external origin of the matched route:
	// "Try again" and signing in lead back there, never to Host.
	Origin string
	// UserEmail and Roles say who asks; "" for nobody.
	UserEmail string
	Roles     []string
	RequestID string
	// RetryAfter is the wait of a 429, or the advised one of a 503.
	RetryAfter time.Duration
	// Limit is the limit of a 429, nil when it is not known.
	Limit *LimitView
	// Explain permits Why to be shown.
	Explain bool
	Why     []WhyItem
	// Now is the instant of the decision.
	Now time.Time
	// OpensAt is when business hours begin again, if known. Hours, if known,
	// are shown as a table and give OpensAt.
	OpensAt time.Time
	Hours   *Hours
}

// LimitView is the limit that refused.
type LimitView struct {
	// RequestsPerSecond and Burst as policy set them.
	RequestsPerSecond float64
	Burst             int
	// Headers are the answer's RateLimit fields, shown to authors of scripts.
	Headers []Header
}

// WhyItem is one condition of the decision.
type WhyItem struct {
	// Tone is "good" (held), "bad" (failed) or "" (not evaluated).
	Tone string
	// Text says the condition, Sub where it stands.
	Text, Sub string
}

type refusal struct {
	shell
	words
	Where, Email, Roles, RequestID, Script, Strong string
	Status                                         int
	Hours                                          *hoursTable
	Wait                                           *wait
	Acts                                           []act
	Why                                            []whyItem
}

type wait struct {
	Clock           *clock
	Text, Stamp, At string
}

type act struct{ Text, URL, Class, Icon string }

type whyItem struct{ Tone, Icon, Text, Sub string }

// Refusal renders the page of a denial. Its body has at most MaxRefusal bytes.
func (r *Renderer) Refusal(v RefusalView) Page {
	if v.Status < 400 || v.Status > 599 {
		v.Status = 403
	}
	p := r.refusal(v)
	if len(p.Body) > MaxRefusal {
		// Bounds make this unreachable with sane names; the limit holds anyway.
		p = r.refusal(RefusalView{Status: v.Status, Reasons: v.Reasons, RequestID: v.RequestID, Now: v.Now, RetryAfter: v.RetryAfter})
	}
	return p
}

func (r *Renderer) refusal(v RefusalView) Page {
	w := wordsFor(v.Status, v.Reasons)
	if w.stranger {
		v.UserEmail = ""
	}
	d := refusal{
		shell: r.remote, Status: v.Status, RequestID: shown(v.RequestID, maxIDShown),
		Email: shown(v.UserEmail, maxEmailShown), Roles: shownRoles(v.Roles),
	}
	host := shown(v.Host, maxHostShown)
	path, _, _ := strings.Cut(v.Path, "?")
	if d.Where = host; path != "" && path != "/" {
		d.Where += shown(path, maxPathShown)
	}
	if host == "" {
		host = "this application"
	}
	fill := strings.NewReplacer("{host}", host, "{of}", r.of)
	w.Heading, w.Lead = fill.Replace(w.Heading), fill.Replace(w.Lead)
	if w.hours {
		r.addHours(&d, &w, v, host)
	}
	if v.Status == 429 {
		r.addWait(&d, &w, v)
	}
	if w.norole != "" && d.Roles == "" {
		w.Lead = w.norole
	}
	d.words, d.Title = w, w.title
	d.Acts = r.acts(w, v)
	if v.Explain {
		d.Why = whyItems(v.Why)
	}
	return r.render("refusal", r.remoteCSP, v.Status, d)
}

// addHours says when it opens, as far as that is known.
func (r *Renderer) addHours(d *refusal, w *words, v RefusalView, host string) {
	place, loc := r.place, r.location
	if v.Hours.valid() {
		loc = v.Hours.Location
		place = or(v.Hours.Place, loc.String())
		d.Hours = v.Hours.table(v.Now)
		if v.OpensAt.IsZero() {
			v.OpensAt = v.Hours.OpensAfter(v.Now)
		}
	}
	if !v.OpensAt.IsZero() {
		when := opens(v.OpensAt.In(loc), v.Now)
		w.Heading = "Closed until " + when + "."
		w.title = "Closed until " + when
	}
	now := v.Now.In(loc)
	w.Lead = fmt.Sprintf("It is %s, %s in %s, and %s is open during business hours.", now.Weekday(), now.Format("15:04"), place, host)
	if d.Email != "" {
		w.Lead += " Your session goes on, and nothing was lost."
	}
}

// addWait says how long, and what the limit is.
func (r *Renderer) addWait(d *refusal, w *words, v RefusalView) {
	if v.Limit != nil && v.Limit.RequestsPerSecond > 0 {
		rate := strconv.FormatFloat(v.Limit.RequestsPerSecond, 'g', 4, 64)
		w.Lead = fmt.Sprintf("More came than the %s requests a second, with bursts of %d, that are open to you here. This one was not carried out.", rate, v.Limit.Burst)
	}
	left := wholeSeconds(v.RetryAfter)
	if left == 0 {
		return
	}
	text, at := InWords(left), v.Now.Add(time.Duration(left)*time.Second)
	d.Strong = "You can continue in " + text + "."
	d.Wait = &wait{Clock: newClock(left), Text: text, Stamp: at.UTC().Format(time.RFC3339), At: r.at(at, "15:04:05")}
	script := []string{"Retry-After: " + strconv.Itoa(left)}
	if v.Limit != nil {
		for _, h := range v.Limit.Headers {
			script = append(script, shown(h.Name, 40)+": "+shown(h.Value, 160))
		}
	}
	d.Script = strings.Join(script[:min(len(script), 4)], "\n")
}

// acts are the links, one primary. All lead to what exists: the page itself,
// the gate's landing page, its page for demos, its sign-in and its sign-out.
func (r *Renderer) acts(w words, v RefusalView) []act {
	back := ""
	if v.Origin != "" {
		back = v.Origin + "/"
		if full := v.Origin + v.Path; (v.Method == "" || v.Method == "GET" || v.Method == "HEAD") && strings.HasPrefix(v.Path, "/") && !strings.Contains(v.Path, "#") && len(full) <= maxReturnTo {
			back = full
		}
	}
	query := ""
	if back != "" {
		query = "?rd=" + url.QueryEscape(back)
	}
	all := map[string]act{
		"retry":  {Text: "Try again", Icon: "retry"},
		"open":   {Text: "Open " + shown(v.Host, maxHostShown), URL: back},
		"apps":   {Text: "Your apps", URL: r.gate + "/"},
		"signin": {Text: "Sign in", URL: r.gate + "/oauth2/sign_in" + query},
		"demo":   {Text: "Ask for a demo", URL: r.gate + "/demo"},
		"switch": {Text: "Switch account", URL: r.gate + "/oauth2/sign_out" + query},
	}
	acts := []act{}
	for _, name := range w.acts {
		a := all[name]
		if (name == "demo" && !r.demos) || (name == "open" && (back == "" || v.Host == "")) || (name == "switch" && v.UserEmail == "") ||
			(name == "retry" && v.Method != "" && v.Method != "GET" && v.Method != "HEAD") {
			continue
		}
		if a.Class = "btn"; len(acts) == 0 {
			a.Class = "btn primary"
		}
		acts = append(acts, a)
	}
	return acts
}

func whyItems(why []WhyItem) []whyItem {
	if len(why) > maxWhy {
		why = why[:maxWhy]
	}
	out := make([]whyItem, len(why))
	for i, w := range why {
		out[i] = whyItem{Tone: w.Tone, Icon: "not", Text: shown(w.Text, maxWhyShown), Sub: shown(w.Sub, maxWhyShown/2)}
		switch w.Tone {
		case "good":
			out[i].Icon = "yes"
		case "bad":
			out[i].Icon = "no"
		default:
			out[i].Tone = ""
		}
	}
	return out
}
