package web

import (
	"encoding/json"
	"net/http"
)

// problem is an answer to programs (RFC 9457).
type problem struct {
	Type      string   `json:"type"`
	Title     string   `json:"title"`
	Status    int      `json:"status"`
	Detail    string   `json:"detail"`
	Reasons   []string `json:"reasons"`
	RequestID string   `json:"request_id,omitempty"`

	Reason string `json:"-"` // becomes Reasons
}

func (h *Handler) problem(w http.ResponseWriter, r *http.Request, p problem) {
	if p.Type == "" {
		p.Type = "about:blank"
	}
	p.Title, p.Reasons, p.RequestID = http.StatusText(p.Status), []string{p.Reason}, requestID(r)
	h.json(w, p.Status, "application/problem+json", p)
}

func (h *Handler) json(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil { // cannot happen: texts and numbers only
		status, contentType, body = http.StatusInternalServerError, "application/problem+json", []byte(`{"type":"about:blank","status":500}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone: nobody to tell
}
