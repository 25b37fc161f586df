package pages

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

//go:embed templates/*.html
var templateFiles embed.FS

// MaxRefusal is the most bytes that the body of a refusal has: a gRPC answer
// carries it, and Envoy buffers it.
const MaxRefusal = 16 << 10

// Options are what all pages have in common.
type Options struct {
	// Product is the name in the header and titles; "" means "NeoSC Gate".
	Product string
	// Of says whose gate it is ("kappa4.com"); "" means the host of GateOrigin.
	Of string
	// GateOrigin is the gate's own origin, "https://gate.kappa4.com". Needed.
	GateOrigin string
	// FormTargets are the origins to which sign-in and sign-out may redirect:
	// every origin of the routes file. Browsers hold a redirect after a form to
	// form-action, so a missing one breaks the way back.
	FormTargets []string
	// Location is the place whose time people's pages show, and Place its
	// name; nil means UTC, "" the location's own name.
	Location *time.Location
	Place    string
	// Demos says that people can ask for demo sessions here: pages lead there.
	Demos bool
}

// Renderer renders pages. It is safe for concurrent use; all but its form
// targets is immutable.
type Renderer struct {
	product, of, gate string
	location          *time.Location
	place             string
	templates         *template.Template
	own, remote       shell
	remoteCSP         string
	script            string // the address of passkey.js
	demoScript        string // the address of demo.js
	demos             bool
	targets           atomic.Pointer[targets]
}

// targets are where forms may lead, and the policy that says so to browsers.
type targets struct {
	csp     string
	origins map[string]bool
}

// shell is what the frame of a page needs.
type shell struct {
	Product, Of, Base, Icon, Stylesheet string
	Title                               string
	Wide                                bool
	// Reload is after how many seconds browsers without a script load the page
	// again; 0 for never. With one, they are not made to: being thrown back to
	// the top of a page every few seconds is hard on whoever has it read out.
	Reload int
}

// New returns a Renderer. It fails on a GateOrigin or form target that is not
// an origin.
func New(o Options) (*Renderer, error) {
	host, err := originHost(o.GateOrigin)
	if err != nil {
		return nil, fmt.Errorf("pages: gate origin: %w", err)
	}
	r := &Renderer{product: or(o.Product, "NeoSC Gate"), of: or(o.Of, host), gate: o.GateOrigin, location: o.Location, demos: o.Demos}
	if r.location == nil {
		r.location = time.UTC
	}
	r.place = or(o.Place, r.location.String())
	if r.templates, err = template.New("").Funcs(funcs()).ParseFS(templateFiles, "templates/*.html"); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	assets, err := Assets()
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	links := map[string]string{}
	for _, a := range assets {
		links[a.Name] = "/assets/" + a.Name + "?v=" + a.Version
	}
	r.own = shell{Product: r.product, Of: r.of, Icon: links["favicon.svg"], Stylesheet: links["gate.css"]}
	r.script, r.demoScript = links["passkey.js"], links["demo.js"]
	r.remote = r.own
	r.remote.Base, r.remote.Wide = o.GateOrigin, true
	r.remote.Icon, r.remote.Stylesheet = o.GateOrigin+r.own.Icon, o.GateOrigin+r.own.Stylesheet
	if err := r.SetFormTargets(o.FormTargets); err != nil {
		return nil, err
	}
	// Refusals have links and no forms.
	r.remoteCSP = csp(o.GateOrigin, []string{"'none'"})
	return r, nil
}

// FormsLeadTo reports whether browsers let a form of the gate's pages end, by
// way of a redirect, at an address.
func (r *Renderer) FormsLeadTo(address string) bool {
	u, err := url.Parse(address)
	return err == nil && r.targets.Load().origins[u.Scheme+"://"+u.Host]
}

// SetFormTargets puts other origins in the place of Options.FormTargets, as
// when the routes change.
func (r *Renderer) SetFormTargets(origins []string) error {
	t := &targets{origins: map[string]bool{}, csp: csp("'self'", append([]string{"'self'"}, formSources(origins)...))}
	for _, o := range origins {
		if _, err := originHost(o); err != nil {
			return fmt.Errorf("pages: form target: %w", err)
		}
		t.origins[o] = true
	}
	r.targets.Store(t)
	return nil
}

func (r *Renderer) ownCSP() string { return r.targets.Load().csp }

func csp(source string, formTargets []string) string {
	return "default-src 'none'; style-src " + source + "; img-src " + source +
		"; form-action " + strings.Join(formTargets, " ") + "; base-uri 'none'; frame-ancestors 'none'"
}

// originHost checks that s is an origin and nothing more, and returns its host.
// A wildcard host ("https://*.example.com") is one.
func originHost(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", err
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || s != u.Scheme+"://"+u.Host || strings.ContainsAny(s, " ;,'\"") {
		return "", fmt.Errorf("%q is not an origin such as https://gate.example.com", s)
	}
	return u.Hostname(), nil
}

// Page is a rendered page.
type Page struct {
	// Status is the HTTP status it answers with.
	Status      int
	ContentType string
	CSP         string
	Body        []byte
}

// Header is one header field.
type Header struct{ Name, Value string }

// Headers returns the header fields that every answer with this page carries,
// besides Content-Type.
//
// The referrer policy is same-origin and not no-referrer: under the latter a
// form sends "Origin: null", and the check of its origin would refuse it.
func (p Page) Headers() []Header {
	return []Header{
		{"Content-Security-Policy", p.CSP},
		{"Cache-Control", "no-store"},
		{"Referrer-Policy", "same-origin"},
		{"X-Content-Type-Options", "nosniff"},
		{"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"},
		{"Cross-Origin-Opener-Policy", "same-origin"},
	}
}

// render fills a template. Templates are tested with every view, so an error
// here is a defect; the page then says in plain words what its status means,
// because a person must get an answer in any case.
func (r *Renderer) render(name, csp string, status int, data any) Page {
	var b bytes.Buffer
	b.Grow(8 << 10)
	if err := r.templates.ExecuteTemplate(&b, name, data); err != nil {
		b.Reset()
		fmt.Fprintf(&b, "<!doctype html><title>%d</title><h1>%d</h1><p>This page could not be shown.</p>", status, status)
	}
	return Page{Status: status, ContentType: "text/html; charset=utf-8", CSP: csp, Body: b.Bytes()}
}

func (r *Renderer) at(t time.Time, layout string) string {
	return t.In(r.location).Format(layout) + ", " + r.place
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
