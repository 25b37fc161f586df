package dev

import (
	"encoding/json"
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
// says you are, waits on request, and keeps a few workspaces in memory. The edge
// decides who may do what; whose a workspace is the backend alone knows.
type backend struct {
	mu         sync.Mutex
	workspaces []workspace
	next       int
}

func newBackend() *backend {
	b := &backend{}
	b.reset()
	return b
}

// handler believes who about people, and signed where administrators act.
func (b *backend) handler(who, signed believe) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/slow", who.identified(b.slow))
	b.routeWorkspaces(mux, who, signed)
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
