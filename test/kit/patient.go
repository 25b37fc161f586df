package kit

import (
	"io"
	"net/http"
	"time"
)

// edgeWaits is a little less than the second that an edge waits for a check.
const edgeWaits = 900 * time.Millisecond

// tries is how often a request is sent at most.
const tries = 4

// Patient sends a request again where the edge answered by itself, in no words,
// that the gate had not decided within its second: gates with the race detector
// in them, on a machine that is busy, answer about one check in a thousand later
// than that. Such a request has reached neither an upstream nor a page of the
// gate's. What is refused sooner, or in words, is passed on, and so is what is
// refused each time.
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

func late(resp *http.Response, began time.Time) bool {
	return resp.StatusCode == http.StatusServiceUnavailable && resp.ContentLength == 0 && time.Since(began) > edgeWaits
}

// CloseIdleConnections is for http.Client, which looks for it.
func (p *patient) CloseIdleConnections() { p.t.CloseIdleConnections() }
