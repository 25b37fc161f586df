package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/archive"
	"github.com/neosc/gate/bundles/shadow"
	"github.com/neosc/gate/session/web/admin"
)

// shadowPath is where operators watch a candidate policy, on the admin socket.
const shadowPath = "/v1/policy/shadow"

// shadowed is a candidate policy beside the active one, and its bytes, which are
// what is promoted: what was watched, and not what lies in a file by then.
type shadowed struct {
	*shadow.Shadow
	policy *bundles.Manager
	mu     sync.Mutex
	packed []byte
}

func (a *app) openShadow() error {
	s, err := shadow.New(shadow.Options{Live: a.engine, Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix})
	if err != nil {
		return err
	}
	a.teardown.Add("policy in shadow", time.Second, s.Close)
	a.shadow = &shadowed{Shadow: s, policy: a.policy}
	return nil
}

// begin has a bundle decide a share of the requests in shadow.
func (x *shadowed) begin(name string, packed []byte, share float64) error {
	build, err := x.policy.Candidate(packed)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.Start(shadow.Candidate{Name: name, Build: build, Share: share}); err != nil {
		return err
	}
	x.packed = packed
	return nil
}

// shadowWish asks for a candidate.
type shadowWish struct {
	// Name is what the report calls its place.
	Name   string  `json:"name"`
	Share  float64 `json:"share"`
	Bundle []byte  `json:"bundle"`
}

// promoted says what became of a candidate.
type promoted struct {
	Revision   string `json:"revision"`
	Generation uint64 `json:"generation"`
	// Lasting is false if the policy's own place does not have it.
	Lasting bool `json:"lasting"`
}

// errOther refuses to promote what nobody has looked at.
var errOther = errors.New("another policy is watched by now, or beside another one: look at what it would change first")

// promote activates the candidate, which is in shadow no more then; only the one
// that is counted since an instant, if that is not zero.
func (x *shadowed) promote(ctx context.Context, since time.Time) (promoted, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.packed == nil {
		return promoted{}, shadow.ErrNone
	}
	if !since.IsZero() {
		if r, err := x.Report(ctx); err != nil || !r.Since.Equal(since) {
			return promoted{}, errors.Join(errOther, err)
		}
	}
	s, lasting, err := x.policy.Promote(x.packed)
	if err != nil {
		return promoted{}, err
	}
	x.packed = nil
	return promoted{Revision: s.Revision, Generation: s.Generation, Lasting: lasting}, x.Drop()
}

func (x *shadowed) drop() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.packed = nil
	return x.Drop()
}

// handle puts what operators do at its paths.
func (x *shadowed) handle(mux *http.ServeMux) {
	mux.HandleFunc("GET "+shadowPath, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		report, err := x.Report(ctx)
		answerShadow(w, report, err)
	})
	mux.HandleFunc("POST "+shadowPath, func(w http.ResponseWriter, r *http.Request) {
		var wish shadowWish
		// A bundle is a third longer in base64.
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, archive.MaxPacked/3*4+4<<10))
		d.DisallowUnknownFields()
		err := d.Decode(&wish)
		if err == nil {
			err = x.begin(wish.Name, wish.Bundle, wish.Share)
		}
		report := shadow.Report{}
		if err == nil {
			report, err = x.Report(r.Context())
		}
		answerShadow(w, report, err)
	})
	mux.HandleFunc("POST "+shadowPath+"/promote", func(w http.ResponseWriter, r *http.Request) {
		out, err := x.promote(r.Context(), time.Time{})
		answerShadow(w, out, err)
	})
	mux.HandleFunc("POST "+shadowPath+"/drop", func(w http.ResponseWriter, _ *http.Request) {
		answerShadow(w, struct{}{}, x.drop())
	})
}

// answerShadow answers as the admin socket does: JSON, or a problem document.
func answerShadow(w http.ResponseWriter, out any, err error) {
	status, kind := http.StatusOK, "application/json"
	if err != nil {
		status, kind = http.StatusUnprocessableEntity, "application/problem+json"
		if errors.Is(err, shadow.ErrNone) {
			status = http.StatusNotFound
		}
		out = &admin.Problem{Status: status, Title: http.StatusText(status), Detail: fmt.Sprintf("%.4000s", err.Error())}
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // whoever asked is gone otherwise
}
