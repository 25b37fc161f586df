package dev

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
)

//go:embed assets
var assets embed.FS

// pageData is what both pages show.
type pageData struct {
	Title    string
	Origins  Origins
	Apps     []app
	Name     string
	Identity identity
	Given    []given
}

// app is one host behind the same sign-in.
type app struct{ Name, About, URL, Host string }

// given is one header as it arrived.
type given struct{ Name, Value string }

// page renders one of the templates with a policy that lets it load nothing
// but the gate's stylesheet and icon, and its own script where it has one.
type page struct {
	tmpl   *template.Template
	policy string
}

func newPage(name, ownSources string, o Origins) page {
	return page{
		tmpl: template.Must(template.ParseFS(assets, "assets/layout.html", "assets/"+name)),
		// No form leaves these pages: signing out is a link to the gate's own
		// page, which alone can make a request that the gate believes was meant.
		policy: fmt.Sprintf("default-src 'none'; style-src %[1]s; img-src %[1]s; form-action 'none'; "+
			"base-uri 'none'; frame-ancestors 'none'%[2]s", o.Gate, ownSources),
	}
}

func (p page) write(w http.ResponseWriter, d pageData) {
	var out bytes.Buffer
	if err := p.tmpl.ExecuteTemplate(&out, "layout", d); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	_, _ = w.Write(out.Bytes())
}

// frontend is the portal: a page that greets the person by what the edge says
// and shows everything that it was given.
func frontend(o Origins, ws *sockets) http.Handler {
	p := newPage("frontend.html", "", o)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", identified(ws.echoWebSocket))
	mux.HandleFunc("/", identified(func(w http.ResponseWriter, r *http.Request, id identity) {
		p.write(w, pageData{Title: "Portal", Origins: o, Apps: apps(o), Name: greetingName(id), Identity: id, Given: givenHeaders(r)})
	}))
	return mux
}

// kasmProxy stands for the desktop in the browser: a page that opens a
// WebSocket, the WebSocket itself, and an upgrade to SPDY/3.1 at any path.
func kasmProxy(o Origins, ws *sockets) http.Handler {
	socket := "ws" + strings.TrimPrefix(o.Workspace, "http")
	p := newPage("kasm.html", "; script-src 'self'; connect-src 'self' "+socket, o)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", identified(ws.echoWebSocket))
	mux.HandleFunc("GET /workspace.js", identified(func(w http.ResponseWriter, r *http.Request, _ identity) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		http.ServeFileFS(w, r, assets, "assets/workspace.js")
	}))
	mux.HandleFunc("/", identified(func(w http.ResponseWriter, r *http.Request, id identity) {
		p.write(w, pageData{Title: "Workspace", Origins: o, Apps: apps(o), Name: greetingName(id), Identity: id, Given: givenHeaders(r)})
	}))
	upgrade := identified(ws.echoSPDY)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wantsSPDY(r) {
			upgrade(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func apps(o Origins) []app {
	host := func(origin string) string { _, h, _ := strings.Cut(origin, "://"); return h }
	return []app{
		{"Portal", "This page, by frontend", o.Portal + "/", host(o.Portal)},
		{"API", "Who the backend takes you for, as JSON", o.API + "/api/whoami", host(o.API)},
		{"Admin", "The same backend, for administrators", o.Admin + "/", host(o.Admin)},
		{"Workspace", "A WebSocket, by kasm-proxy", o.Workspace + "/", host(o.Workspace)},
	}
}

// greetingName is how to address the person: the email where the edge vouches
// for one, else the user id.
func greetingName(id identity) string {
	if id.Email != "" {
		return id.Email
	}
	return id.User
}

// givenHeaders lists the request's headers by name, credentials masked, each
// value cut to what a page can show.
func givenHeaders(r *http.Request) []given {
	shown := shownHeaders(r.Header)
	out := make([]given, 0, len(shown)+1)
	out = append(out, given{"Host", oneLine(r.Host, 200)})
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		for _, v := range shown[name] {
			out = append(out, given{name, oneLine(v, 200)})
		}
	}
	return out
}
