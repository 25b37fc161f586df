package bearer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"

	"github.com/neosc/gate/session"
)

const (
	// slots is how many questions a provider is asked at once, queue how many
	// more wait: anybody can make up tokens, and each costs a question.
	slots = 16
	queue = 256
	// askTime bounds a question, waiting for a slot included.
	askTime = 3 * time.Second
	// answerAge is how long an answer counts: a token that the provider took
	// back is dead after that. A no counts for noAge.
	answerAge = 30 * time.Second
	noAge     = 10 * time.Second
	// pause is for how long a provider that did not answer is not asked.
	pause = time.Second
	// assertionLife is how long a client assertion holds.
	assertionLife = time.Minute
)

// answer is what a provider said of a token.
type answer struct {
	claims  map[string]any
	size    int
	version uint64 // another one where the answer is another
	asked   time.Time
}

// introspector asks one provider (RFC 7662).
type introspector struct {
	p      *Provider
	in     *Introspection
	meta   *metadata
	client *http.Client
	clock  func() time.Time
	seen   func(took time.Duration, err error)
	ctx    context.Context

	slots     chan struct{}
	downUntil atomic.Int64 // unix ns
	mu        sync.Mutex
	flights   map[string]*flight
}

// flight is a question under way, which everybody who brings the token shares.
type flight struct {
	done   chan struct{} // closed once answer and err are set
	answer *answer
	err    error
}

// ask returns what the provider says; errors wrap ErrUnavailable.
func (x *introspector) ask(ctx context.Context, token string) (*answer, error) {
	x.mu.Lock()
	f, ok := x.flights[token]
	if !ok {
		if len(x.flights) >= slots+queue {
			x.mu.Unlock()
			return nil, fmt.Errorf("%w: too many tokens to ask %s about", session.ErrUnavailable, x.p.ID)
		}
		token = strings.Clone(token) // a part of some request's buffer
		f = &flight{done: make(chan struct{})}
		x.flights[token] = f
		go x.run(token, f)
	}
	x.mu.Unlock()
	select {
	case <-f.done:
		return f.answer, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: asking %s: %w", session.ErrUnavailable, x.p.ID, ctx.Err())
	}
}

func (x *introspector) run(token string, f *flight) {
	ctx, cancel := context.WithTimeout(x.ctx, askTime)
	defer cancel()
	f.err = guard(func() (err error) {
		f.answer, err = x.inTurn(ctx, token)
		return err
	})
	if f.err != nil {
		f.err = fmt.Errorf("%w: asking %s: %w", session.ErrUnavailable, x.p.ID, f.err)
	}
	x.mu.Lock()
	delete(x.flights, token)
	x.mu.Unlock()
	close(f.done)
}

func (x *introspector) inTurn(ctx context.Context, token string) (*answer, error) {
	select {
	case x.slots <- struct{}{}:
		defer func() { <-x.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if x.clock().UnixNano() < x.downUntil.Load() {
		return nil, errors.New("it did not answer a moment ago")
	}
	began := x.clock()
	a, err := x.question(ctx, token)
	x.seen(x.clock().Sub(began), err)
	if err != nil {
		x.meta.forget()
		x.downUntil.Store(x.clock().Add(pause).UnixNano())
		return nil, err
	}
	a.asked = began
	return a, nil
}

// question is one request. Only a 200 with a JSON object is an answer: a 400 or
// 401 says that we may not ask, not that the token is bad.
func (x *introspector) question(ctx context.Context, token string) (*answer, error) {
	endpoint := x.in.URL
	if endpoint == "" {
		doc, err := x.meta.get(ctx)
		if err != nil {
			return nil, err
		}
		if endpoint = doc.Introspection; endpoint == "" {
			return nil, errors.New("its metadata names no introspection_endpoint")
		}
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	if err := x.assert(form); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if x.in.Key == nil {
		// RFC 6749, 2.3.1: both parts are form-encoded first, so that a colon
		// in one does not move the border.
		req.SetBasicAuth(url.QueryEscape(x.in.ClientID), url.QueryEscape(x.in.ClientSecret))
	}
	body, err := do(x.client, req, maxAnswer)
	if err != nil {
		return nil, err
	}
	c, err := parseObject(string(body))
	if err != nil {
		return nil, errors.New("its answer is no JSON object")
	}
	sum := sha256.Sum256(body)
	return &answer{claims: c, size: len(body), version: binary.BigEndian.Uint64(sum[:8]) | 1}, nil
}

// assert adds a client assertion (RFC 7523, 2.2) where a key is configured.
func (x *introspector) assert(form url.Values) error {
	k := x.in.Key
	if k == nil {
		return nil
	}
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(k.Algorithm), Key: jose.JSONWebKey{Key: k.Private, KeyID: k.ID},
	}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return fmt.Errorf("client assertion: %w", err)
	}
	now := x.clock()
	assertion, err := josejwt.Signed(signer).Claims(josejwt.Claims{
		Issuer: x.in.ClientID, Subject: x.in.ClientID, Audience: josejwt.Audience{x.p.Issuer}, ID: rand.Text(),
		IssuedAt: josejwt.NewNumericDate(now), Expiry: josejwt.NewNumericDate(now.Add(assertionLife)),
	}).Serialize()
	if err != nil {
		return fmt.Errorf("client assertion: %w", err)
	}
	form.Set("client_id", x.in.ClientID)
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", assertion)
	return nil
}

// checkAnswer judges an answer about an opaque token.
func (p *Provider) checkAnswer(a *answer, now time.Time) (times, error) {
	c := a.claims
	if c["active"] != true {
		return times{}, refuseInactive
	}
	// Refresh tokens are active too, at many providers, but bear no type.
	if !isText(c["token_type"], "bearer") {
		return times{}, refuseType
	}
	if v, ok := c["iss"]; ok && v != p.Issuer {
		return times{}, refuseIssuer
	}
	if _, ok := c["aud"]; !ok && p.Introspection.AllowNoAudience {
		c = withAudience(c, p.Audiences[0])
	}
	return p.checkClaims(c, now)
}

// withAudience returns a copy of the claims that names an audience.
func withAudience(c map[string]any, audience string) map[string]any {
	c = maps.Clone(c)
	c["aud"] = audience
	return c
}
