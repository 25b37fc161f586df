package kit

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// edgeWaits is a little less than the second that an edge waits for a check.
const edgeWaits = 900 * time.Millisecond

// tries is how often a request is sent at most.
const tries = 4

// Patient sends a request again where the edge answered by itself that the gate
// had not decided within its second: gates with the race detector
// in them, on a machine that is busy, answer about one check in a thousand later
// than that. Such a request has reached neither an upstream nor a page of the
// gate's. What is refused sooner, or by the gate, is passed on, and so is
// what is refused each time.
func Patient(t *http.Transport) http.RoundTripper { return &patient{t} }

type patient struct{ t *http.Transport }

func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	for n := 1; ; n++ {
		began := time.Now()
		resp, err := p.t.RoundTrip(r)
		if err != nil || n == tries || !late(resp, began) || r.Body != nil && r.GetBody == nil {
			return resp, err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if r = r.Clone(r.Context()); r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// late tells whether the edge says so; the body can be read still.
func late(resp *http.Response, began time.Time) bool {
	if resp.StatusCode != http.StatusServiceUnavailable || time.Since(began) < edgeWaits {
		return false
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(text), unread{err}))
	return bytes.Contains(text, []byte("gate_unavailable"))
}

// unread is the end of a body, or why it could not be read.
type unread struct{ err error }

func (u unread) Read([]byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	return 0, io.EOF
}

// CloseIdleConnections is for http.Client, which looks for it.
func (p *patient) CloseIdleConnections() { p.t.CloseIdleConnections() }
