package zitadel

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

// ActionsPath is where targets of Zitadel's Actions send their calls.
const ActionsPath = "/zitadel/actions"

const (
	// answerTime bounds the look for a person's grant: with what is around it the
	// answer is there within 50 ms, since a person waits for it to sign in.
	answerTime = 40 * time.Millisecond
	maxCall    = 256 << 10
	// looksAtOnce bounds looks that are under way: a store that does not answer
	// must not gather them.
	looksAtOnce = 64
)

// Target is a target as it was made at Zitadel: of the kind restCall, for the
// functions preuserinfo and preaccesstoken.
type Target struct {
	// Issuer is the Zitadel's, as sessions have it.
	Issuer string
	// KeysFile has the target's signing keys, one a line, mode 0600; it is read
	// anew, so that keys can be changed.
	KeysFile string
}

// ActionsOptions set up Actions. Targets and Active are needed.
type ActionsOptions struct {
	Targets []Target
	// Active returns the active grant of the person whom an issuer knows by a
	// subject; false if there is none.
	Active func(ctx context.Context, issuer, subject string) (session.DemoGrant, bool, error)
	// Logger is slog.Default() if nil, Clock time.Now.
	Logger *slog.Logger
	Clock  func() time.Time
	// Registerer takes the metrics; nil means none are shown. MetricPrefix is
	// "pomerium_" if empty.
	Registerer   prometheus.Registerer
	MetricPrefix string
}

// Actions answers Zitadel before it makes a token, with the claims of the
// person's active grant. It is an http.Handler; safe for concurrent use.
//
// A call that is not signed with a key of a target, by some 30 s to come and 300
// s ago, is answered with 401. Whatever else goes wrong is answered with 200 and
// no claims: no trouble here keeps anybody from signing in.
type Actions struct {
	o       ActionsOptions
	keys    []*keyFile // of each target
	looks   chan struct{}
	answers answers
	calls   *prometheus.CounterVec
	within  time.Duration // answerTime
}

// NewActions returns Actions, or says which option is wrong.
func NewActions(o ActionsOptions) (*Actions, error) {
	if len(o.Targets) == 0 || o.Active == nil {
		return nil, errors.New("zitadel: need Targets and Active")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MetricPrefix == "" {
		o.MetricPrefix = "pomerium_"
	}
	a := &Actions{o: o, within: answerTime, looks: make(chan struct{}, looksAtOnce), calls: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: o.MetricPrefix + "zitadel_actions_total", Help: "Calls of Zitadel's Actions by answer: claims, none, refused, replayed, or failed.",
	}, []string{"answer"})}
	for _, t := range o.Targets {
		f := &keyFile{path: t.KeysFile}
		if _, err := f.current(o.Clock()); err != nil {
			return nil, err
		}
		a.keys = append(a.keys, f)
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(a.calls); err != nil {
			return nil, fmt.Errorf("zitadel: %w", err)
		}
	}
	return a, nil
}

// claim is one that Zitadel is to add.
type claim struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

type answer struct {
	AppendClaims []claim `json:"append_claims,omitempty"`
}

// ServeHTTP implements http.Handler.
func (a *Actions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		a.say(w, http.StatusMethodNotAllowed, "refused", nil)
		return
	}
	now := a.o.Clock()
	sig, err := parseSignature(r.Header.Get("Zitadel-Signature"))
	if err != nil || len(r.Header.Values("Zitadel-Signature")) != 1 || !sig.inTime(now) {
		a.say(w, http.StatusUnauthorized, "refused", nil)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxCall+1))
	if err != nil || len(body) > maxCall {
		// Whose it is cannot be told, and neither is it said that it is nobody's: of
		// a person with very many metadata and roles the sign-in has to go on.
		a.say(w, http.StatusOK, "failed", nil)
		return
	}
	issuer, ok := a.from(sig, body, now)
	if !ok {
		a.say(w, http.StatusUnauthorized, "refused", nil)
		return
	}
	kind, out := a.answer(r.Context(), issuer, body)
	call := sha256.Sum256(append([]byte(issuer+"\x00"+sig.t+"."), body...))
	if !a.answers.of(call, sha256.Sum256(out)) {
		kind, out = "replayed", nil
	}
	a.say(w, http.StatusOK, kind, out)
}

// from returns the issuer whose target sent a call.
func (a *Actions) from(sig signature, body []byte, now time.Time) (issuer string, ok bool) {
	for i, f := range a.keys {
		keys, err := f.current(now)
		if err == nil && sig.by(keys, body) && !ok {
			issuer, ok = a.o.Targets[i].Issuer, true
		}
	}
	return issuer, ok
}

func (a *Actions) say(w http.ResponseWriter, status int, kind string, out []byte) {
	a.calls.WithLabelValues(kind).Inc()
	if out == nil {
		out = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(out) // Zitadel may be gone: nobody to tell
}

// answer returns what a call that is Zitadel's is answered with, and what kind
// of answer that is.
func (a *Actions) answer(ctx context.Context, issuer string, body []byte) (kind string, out []byte) {
	var call struct {
		Function string `json:"function"`
		User     struct {
			ID string `json:"id"`
		} `json:"user"`
	}
	if err := json.Unmarshal(body, &call); err != nil {
		a.o.Logger.Warn("a call of Zitadel's Actions cannot be read; its target needs the payload type JSON", "issuer", issuer)
		return "failed", nil
	}
	if call.Function != "function/preuserinfo" && call.Function != "function/preaccesstoken" || call.User.ID == "" || len(call.User.ID) > maxID {
		return "none", nil
	}
	g, has, err := a.look(ctx, issuer, call.User.ID)
	switch {
	case err != nil:
		a.o.Logger.Warn("Zitadel was told nothing of a person's demo session", "issuer", issuer, "error", err)
		return "failed", nil
	case !has:
		return "none", nil
	}
	out, err = json.Marshal(answer{[]claim{
		{session.ClaimDemoSession, g.ID},
		{session.ClaimDemoExpires, g.ExpiresAt.UTC().Format(time.RFC3339)},
		{session.ClaimDemoWorkspace, g.WorkspaceType},
		{session.ClaimDemoDuration, int64(g.MaxDuration / time.Second)},
	}})
	if err != nil {
		return "failed", nil
	}
	return "claims", out
}

var (
	errSlow = errors.New("the look for it took too long")
	errBusy = errors.New("too many looks are under way")
)

// look asks for a person's grant, and does not wait for who does not heed that
// time is up.
func (a *Actions) look(ctx context.Context, issuer, subject string) (session.DemoGrant, bool, error) {
	select {
	case a.looks <- struct{}{}:
	default:
		return session.DemoGrant{}, false, errBusy
	}
	type found struct {
		g   session.DemoGrant
		has bool
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, a.within)
	defer cancel()
	done := make(chan found, 1)
	go func() {
		defer func() { <-a.looks }()
		defer func() {
			if p := recover(); p != nil {
				done <- found{err: fmt.Errorf("panic: %v", p)}
			}
		}()
		var f found
		f.g, f.has, f.err = a.o.Active(ctx, issuer, subject)
		done <- f
	}()
	select {
	case f := <-done:
		return f.g, f.has && f.err == nil && f.g.Status == session.GrantActive && f.g.ExpiresAt.After(a.o.Clock()), f.err
	case <-ctx.Done():
		return session.DemoGrant{}, false, errSlow
	}
}
