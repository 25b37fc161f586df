package dev

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// adminRole may change what workspaces there are, and end anybody's.
const adminRole = "admin"

// States of a workspace.
const (
	stopped = "stopped"
	running = "running"
)

// workspace is a desktop that people launch. Owner is who runs it now, and
// Session names their connection to it, "" once that was cut.
type workspace struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	State   string `json:"state"`
	Owner   string `json:"owner"`
	Session string `json:"session"`
}

// routeWorkspaces adds the addresses of workspaces. What there is for
// administrators alone takes their word from the signed assertion, whatever the
// rest of the backend believes: the edge's rule holds here too, also for
// whoever comes past the edge.
func (b *backend) routeWorkspaces(mux *http.ServeMux, who, signed believe) {
	mux.HandleFunc("GET /api/workspaces", who.identified(b.list))
	mux.HandleFunc("GET /api/workspaces/{id}", who.identified(b.one(show)))
	mux.HandleFunc("POST /api/workspaces/{id}/launch", who.identified(b.one(launch)))
	mux.HandleFunc("POST /api/workspaces/{id}/stop", who.identified(b.one(stop)))
	mux.HandleFunc("POST /api/workspaces/{id}/disconnect", who.identified(b.one(disconnect)))
	mux.HandleFunc("POST /api/workspaces", signed.administrators(b.create))
	mux.HandleFunc("PUT /api/workspaces/{id}", signed.administrators(b.update))
	mux.HandleFunc("DELETE /api/workspaces/{id}", signed.administrators(b.remove))
	mux.HandleFunc("POST /api/workspaces/reset", signed.administrators(func(w http.ResponseWriter, r *http.Request, id identity) {
		b.reset()
		b.list(w, r, id)
	}))
}

// administrators lets through only administrators whom who believes: by their
// roles, since a group may be called "admin" as well.
func (who believe) administrators(next func(http.ResponseWriter, *http.Request, identity)) http.HandlerFunc {
	return who.identified(func(w http.ResponseWriter, r *http.Request, id identity) {
		if !slices.Contains(id.Roles, adminRole) {
			refuse(w, http.StatusForbidden, "admin access required")
			return
		}
		next(w, r, id)
	})
}

// may is what somebody's rights go by: their roles, or, where only plain headers say
// who it is, all that these have.
func (id identity) may() []string {
	if id.Assertion {
		return id.Roles
	}
	return id.Groups
}

func refuse(w http.ResponseWriter, status int, why string) {
	writeJSON(w, status, map[string]string{"error": why})
}

func (b *backend) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.workspaces = []workspace{
		{ID: "1", Name: "Ubuntu desktop", Type: "ubuntu", State: stopped},
		{ID: "2", Name: "Browser", Type: "chromium", State: stopped},
	}
	b.next = 3
}

func (b *backend) list(w http.ResponseWriter, _ *http.Request, _ identity) {
	b.mu.Lock()
	all := slices.Clone(b.workspaces)
	b.mu.Unlock()
	writeJSON(w, http.StatusOK, all)
}

// draft is what a client says of a workspace.
type draft struct{ Name, Type string }

// read returns what a client says; else it has answered.
func (b *backend) read(w http.ResponseWriter, r *http.Request) (in draft, ok bool) {
	// The server has no read timeout (it would end /slow); this body has one.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(10 * time.Second))
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in)
	_ = control.SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		refuse(w, http.StatusRequestEntityTooLarge, "the body has more than 4096 bytes")
	case err != nil || in.Name == "" || len(in.Name) > 64 || len(in.Type) > 64:
		refuse(w, http.StatusBadRequest, `the body must be {"name":"…","type":"…"}, name not empty, each at most 64 bytes`)
	default:
		return in, true
	}
	return in, false
}

func (b *backend) create(w http.ResponseWriter, r *http.Request, _ identity) {
	in, ok := b.read(w, r)
	if !ok {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.workspaces) >= maxWorkspaces {
		refuse(w, http.StatusConflict, "there are 100 workspaces; delete one first")
		return
	}
	ws := workspace{ID: strconv.Itoa(b.next), Name: in.Name, Type: in.Type, State: stopped}
	b.next++
	b.workspaces = append(b.workspaces, ws)
	writeJSON(w, http.StatusCreated, ws)
}

func (b *backend) update(w http.ResponseWriter, r *http.Request, id identity) {
	in, ok := b.read(w, r)
	if !ok {
		return
	}
	b.one(func(x *workspace, _ identity) (int, string) {
		x.Name, x.Type = in.Name, in.Type
		return http.StatusOK, ""
	})(w, r, id)
}

func (b *backend) remove(w http.ResponseWriter, r *http.Request, _ identity) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := len(b.workspaces)
	b.workspaces = slices.DeleteFunc(b.workspaces, func(x workspace) bool { return x.ID == r.PathValue("id") })
	if len(b.workspaces) == before {
		refuse(w, http.StatusNotFound, "no such workspace")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// deed does something to a workspace for somebody, or says with a status why not.
type deed func(x *workspace, id identity) (status int, why string)

// one returns a handler that does it to the workspace that the path names, and
// shows it then.
func (b *backend) one(do deed) func(http.ResponseWriter, *http.Request, identity) {
	return func(w http.ResponseWriter, r *http.Request, id identity) {
		b.mu.Lock()
		defer b.mu.Unlock()
		i := slices.IndexFunc(b.workspaces, func(x workspace) bool { return x.ID == r.PathValue("id") })
		if i < 0 {
			refuse(w, http.StatusNotFound, "no such workspace")
			return
		}
		if status, why := do(&b.workspaces[i], id); status != http.StatusOK {
			refuse(w, status, why)
			return
		}
		writeJSON(w, http.StatusOK, b.workspaces[i])
	}
}

func show(*workspace, identity) (int, string) { return http.StatusOK, "" }

// launch makes a workspace that nobody runs one's own; one's own it connects to
// anew.
func launch(x *workspace, id identity) (int, string) {
	if x.State == running && x.Owner != id.User {
		return http.StatusConflict, "somebody else runs this workspace"
	}
	x.State, x.Owner = running, id.User
	if x.Session == "" {
		x.Session = "ws-" + rand.Text()
	}
	return http.StatusOK, ""
}

func stop(x *workspace, id identity) (int, string) {
	if status, why := own(x, id); status != http.StatusOK {
		return status, why
	}
	x.State, x.Owner, x.Session = stopped, "", ""
	return http.StatusOK, ""
}

// disconnect cuts the connection and leaves the workspace running.
func disconnect(x *workspace, id identity) (int, string) {
	if status, why := own(x, id); status != http.StatusOK {
		return status, why
	}
	x.Session = ""
	return http.StatusOK, ""
}

// own says whether a workspace runs, and for whoever asks.
func own(x *workspace, id identity) (int, string) {
	switch {
	case x.State != running:
		return http.StatusConflict, "the workspace is not running"
	case x.Owner != id.User && !slices.Contains(id.may(), adminRole):
		return http.StatusForbidden, "this workspace is somebody else's"
	}
	return http.StatusOK, ""
}
