package webhook

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/demo/internal/outbound"
)

// Bounds on how long one call may take.
const (
	MinTimeout     = 100 * time.Millisecond
	DefaultTimeout = 10 * time.Second
	MaxTimeout     = time.Minute
)

// Options set up a Step. Name, URL and Secrets are needed.
type Options struct {
	// Name is the step's: 1 to 32 of a-z, 0-9, _ and -, a letter first.
	Name string
	// URL is where webhooks go: https://…, http:// on loopback, or
	// unix:///run/provisioner.sock, with the path of the requests behind a colon
	// if that is not "/". No redirect is followed from there.
	URL string
	// Secrets is the file of the secrets with which webhooks are signed, mode
	// 0600: one "whsec_…" a line, of 24 to 64 bytes in base64. It is read at each
	// call; one that has become unreadable meanwhile leaves the last secrets.
	Secrets string
	// Timeout bounds one call; 0 means DefaultTimeout.
	Timeout time.Duration
	// Roots are whom the server's certificate may be from; nil: the system's.
	Roots *x509.CertPool
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// Step asks another program to make and to take away what belongs to grants. It
// implements session.DemoStep; safe for concurrent use.
type Step struct {
	o       Options
	place   *outbound.Place
	secrets *secrets
}

var stepName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// New returns a Step, or says which option is wrong. Nobody is asked yet.
func New(o Options) (*Step, error) {
	if !stepName.MatchString(o.Name) {
		return nil, fmt.Errorf("name %q must be 1 to 32 of a-z, 0-9, _ and -, a letter first", o.Name)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Timeout < MinTimeout || o.Timeout > MaxTimeout {
		return nil, fmt.Errorf("timeout %v must be from %v to %v", o.Timeout, MinTimeout, MaxTimeout)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	place, err := outbound.At(o.URL, o.Roots)
	if err != nil {
		return nil, fmt.Errorf("url %w", err)
	}
	s := &Step{o: o, place: place, secrets: &secrets{path: o.Secrets}}
	if _, err := s.secrets.current(); err != nil {
		return nil, err
	}
	return s, nil
}

// The types of webhooks.
const (
	typeStart = "demo.start"
	typeEnd   = "demo.end"
	typeList  = "demo.list"
)

// event is the body of a webhook.
type event struct {
	Type  string `json:"type"`
	Step  string `json:"step"`
	Grant *grant `json:"grant,omitempty"`
}

// grant is what a receiver is told of one.
type grant struct {
	ID            string    `json:"id"`
	UserID        string    `json:"user_id,omitempty"`
	Email         string    `json:"email,omitempty"`
	Organization  string    `json:"organization,omitempty"`
	WorkspaceType string    `json:"workspace_type,omitempty"`
	Role          string    `json:"role,omitempty"`
	StartedAt     time.Time `json:"started_at,omitzero"`
	ExpiresAt     time.Time `json:"expires_at,omitzero"`
}

// Name implements session.DemoStep.
func (s *Step) Name() string { return s.o.Name }

// Start implements session.DemoStep.
func (s *Step) Start(ctx context.Context, g session.DemoGrant) error {
	return s.phase(ctx, typeStart, "start", g)
}

// End implements session.DemoStep.
func (s *Step) End(ctx context.Context, g session.DemoGrant) error {
	return s.phase(ctx, typeEnd, "end", g)
}

// grantID is what ids of grants look like. A dot would make idempotency keys of
// two grants alike.
var grantID = regexp.MustCompile(`^demo-[0-9]{1,20}-[A-Za-z0-9_-]{1,64}$`)

func (s *Step) phase(ctx context.Context, kind, phase string, g session.DemoGrant) error {
	if !grantID.MatchString(g.ID) {
		return fmt.Errorf("%w: %q is no id of a grant", session.ErrStepRefused, outbound.Words(g.ID))
	}
	e := event{Type: kind, Step: s.o.Name, Grant: &grant{
		ID: g.ID, UserID: g.UserID, Email: g.Email, Organization: g.Organization, WorkspaceType: g.WorkspaceType, Role: g.Role,
		StartedAt: g.StartedAt.UTC(), ExpiresAt: g.ExpiresAt.UTC(),
	}}
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		r, err := s.send(ctx, g.ID+"."+s.o.Name+"."+phase, e, maxReply)
		if err == nil {
			err = outcome(r)
		}
		if !errors.Is(err, session.ErrStepPending) || !pause(ctx, max(wait, session.StepAfter(err))) {
			return err
		}
	}
}

// What is under way is asked about again after firstWait to lastWait, for as
// long as the call may last: that is no failure to be counted.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 2 * time.Second
)

// pause waits, and reports false at once if ctx would end before.
func pause(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); !ok || time.Until(end) <= d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Owned implements session.DemoStep.
func (s *Step) Owned(ctx context.Context) ([]session.DemoGrant, error) {
	var id [16]byte
	_, _ = rand.Read(id[:])
	r, err := s.send(ctx, hex.EncodeToString(id[:])+"."+s.o.Name+".list", event{Type: typeList, Step: s.o.Name}, maxList)
	if err != nil {
		return nil, err
	}
	if r.Status != http.StatusOK {
		return nil, errors.Join(outcome(r), errors.New("it answered no list"))
	}
	var list struct {
		Grants *[]string `json:"grants"`
	}
	if err := json.Unmarshal(r.JSON, &list); err != nil || list.Grants == nil {
		// An answer that is none must not look like "nothing is left".
		return nil, errors.New(`the answer to demo.list is not {"grants":["demo-…"]}`)
	}
	out := make([]session.DemoGrant, 0, len(*list.Grants))
	for _, id := range *list.Grants {
		if !grantID.MatchString(id) {
			return nil, fmt.Errorf("the answer to demo.list has %q, which is no id of a grant", outbound.Words(id))
		}
		out = append(out, session.DemoGrant{ID: id})
	}
	return out, nil
}
