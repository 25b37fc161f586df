package dev

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// slowest is the longest that /slow waits: past the 30 s that the admin
	// route allows, so that its timeout can be seen.
	slowest = 60 * time.Second
	// maxWorkspaces and maxBody bound what clients can make the backend keep.
	maxWorkspaces = 100
	maxBody       = 4 << 10
)

// backend is a JSON API that stands for the real one: it says who the edge
// says you are, waits on request, and keeps a few workspaces in memory. It
// decides nothing by itself; the edge already has.
type backend struct {
	mu         sync.Mutex
	workspaces []workspace
	next       int
}

type workspace struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Type  string `json:"type"`
	State string `json:"state"`
	Owner string `json:"owner"`
}

func newBackend() *backend {
	b := &backend{}
	b.reset()
	return b
}

func (b *backend) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.workspaces = []workspace{
		{ID: "1", Name: "Ubuntu desktop", Type: "ubuntu", State: "stopped"},
		{ID: "2", Name: "Browser", Type: "chromium", State: "stopped"},
	}
	b.next = 3
}

func (b *backend) handler(who believe) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/slow", who.identified(b.slow))
	mux.HandleFunc("GET /api/workspaces", who.identified(b.list))
	mux.HandleFunc("POST /api/workspaces", who.identified(b.create))
	mux.HandleFunc("POST /api/workspaces/reset", who.identified(func(w http.ResponseWriter, r *http.Request, id identity) {
		b.reset()
		b.list(w, r, id)
	}))
	mux.HandleFunc("GET /api/workspaces/{id}", who.identified(b.change("", false)))
	mux.HandleFunc("DELETE /api/workspaces/{id}", who.identified(b.change("", true)))
	mux.HandleFunc("POST /api/workspaces/{id}/launch", who.identified(b.change("running", false)))
	mux.HandleFunc("POST /api/workspaces/{id}/stop", who.identified(b.change("stopped", false)))
	mux.HandleFunc("/", who.identified(echo))
	return mux
}

// echo shows the request as it arrived, at any path.
func echo(w http.ResponseWriter, r *http.Request, id identity) {
	writeJSON(w, http.StatusOK, map[string]any{
		"identity": id,
		"method":   r.Method,
		"host":     r.Host,
		"path":     r.URL.Path,
		"query":    r.URL.RawQuery,
		"headers":  shownHeaders(r.Header),
	})
}

// shownHeaders returns the headers as they came, but never a credential: of
// Cookie only the names of the cookies, of Authorization only the scheme. Seen
// at all, they show that the edge let something through.
func shownHeaders(h http.Header) map[string][]string {
	out := make(map[string][]string, len(h))
	for name, values := range h {
		out[name] = slices.Clone(values)
	}
	for i, v := range out["Cookie"] {
		names := []string{}
		for pair := range strings.SplitSeq(v, ";") {
			name, _, _ := strings.Cut(strings.TrimSpace(pair), "=")
			names = append(names, name+"=…")
		}
		out["Cookie"][i] = strings.Join(names, "; ")
	}
	for _, name := range []string{"Authorization", "Proxy-Authorization", "X-Pomerium-Jwt-Assertion"} {
		for i, v := range out[name] {
			scheme, _, found := strings.Cut(v, " ")
			if !found {
				scheme = ""
			}
			out[name][i] = strings.TrimSpace(scheme + " …")
		}
	}
	return out
}

// slow answers after ?ms= milliseconds, or not at all once the edge gives up.
func (b *backend) slow(w http.ResponseWriter, r *http.Request, _ identity) {
	ms, err := strconv.Atoi(r.FormValue("ms"))
	if err != nil || ms < 0 || time.Duration(ms)*time.Millisecond > slowest {
		writeJSON(w, http.StatusBadRequest, map[string]string{
			"error": fmt.Sprintf("ms must be a whole number from 0 to %d", slowest.Milliseconds())})
		return
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		writeJSON(w, http.StatusOK, map[string]int{"waited_ms": ms})
	case <-r.Context().Done():
	}
}

func (b *backend) list(w http.ResponseWriter, _ *http.Request, _ identity) {
	b.mu.Lock()
	all := slices.Clone(b.workspaces)
	b.mu.Unlock()
	writeJSON(w, http.StatusOK, all)
}

func (b *backend) create(w http.ResponseWriter, r *http.Request, id identity) {
	var in struct{ Name, Type string }
	// The server has no read timeout (it would end /slow); this body has one.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(10 * time.Second))
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in)
	_ = control.SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		writeJSON(w, http.StatusRequestEntityTooLarge, map[string]string{"error": "the body has more than 4096 bytes"})
		return
	case err != nil || in.Name == "" || len(in.Name) > 64 || len(in.Type) > 64:
		writeJSON(w, http.StatusBadRequest, map[string]string{
			"error": `the body must be {"name":"…","type":"…"}, name not empty, each at most 64 bytes`})
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.workspaces) >= maxWorkspaces {
		writeJSON(w, http.StatusConflict, map[string]string{"error": "there are 100 workspaces; delete one first"})
		return
	}
	ws := workspace{ID: strconv.Itoa(b.next), Name: in.Name, Type: in.Type, State: "stopped", Owner: id.User}
	b.next++
	b.workspaces = append(b.workspaces, ws)
	writeJSON(w, http.StatusCreated, ws)
}

// change returns a handler that shows the named workspace after it has put it
// into a state ("" leaves it) or removed it.
func (b *backend) change(state string, remove bool) func(http.ResponseWriter, *http.Request, identity) {
	return func(w http.ResponseWriter, r *http.Request, id identity) {
		b.mu.Lock()
		defer b.mu.Unlock()
		i := slices.IndexFunc(b.workspaces, func(x workspace) bool { return x.ID == r.PathValue("id") })
		if i < 0 {
			writeJSON(w, http.StatusNotFound, map[string]string{"error": "no such workspace"})
			return
		}
		switch {
		case remove:
			b.workspaces = slices.Delete(b.workspaces, i, i+1)
			w.WriteHeader(http.StatusNoContent)
			return
		case state != "":
			b.workspaces[i].State, b.workspaces[i].Owner = state, id.User
		}
		writeJSON(w, http.StatusOK, b.workspaces[i])
	}
}

// writeJSON answers with indented JSON, since people read these in browsers.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
